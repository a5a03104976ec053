"""JAX primitives that mean a pure function and are done by a native kernel on a CPU."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.core
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla

from rnnlm_jax.array_types import Array
from rnnlm_jax.arrays.mesh_axes import vary_together
from rnnlm_jax.kernels.library import target, unavailable

Arrays = Sequence[Array]
Meaning = Callable[..., tuple[Array, ...]]  # (*arrays, **static) -> arrays
TransposeFn = Callable[..., tuple[Array, ...]]  # (residuals, cotangents, **static) -> of the linear arguments

#: The types that kernels have, as XLA names them.
DATA_TYPES = {"float32": "F32", "float64": "F64"}

_by_meaning = contextvars.ContextVar("by_meaning", default=False)


@contextlib.contextmanager
def by_meaning() -> Iterator[None]:
    """Trace operations as what they mean, for a program that leaves this machine: other devices, symbolic shapes."""
    token = _by_meaning.set(True)
    try:
        yield
    finally:
        _by_meaning.reset(token)


def is_by_meaning() -> bool:
    """Whether operations are traced as what they mean."""
    return _by_meaning.get()


class Operation:
    """A function of arrays that means ``meaning`` and runs as the native kernel ``name`` where that can be.

    On a CPU with one device the call becomes the kernel's, of the type of the first argument; on other devices, for
    other types, in programs of ``jax.export``, or where kernels cannot be compiled, it is ``meaning`` itself. ``vmap``
    and derivatives are those of ``meaning``. Static arguments are numbers and truth values, passed by name.

    Args:
        name: of the kernel; None: there is none, and it runs by its meaning everywhere.
        meaning: the pure function, to a tuple of arrays.
        aliases: arguments whose memory a result may take over, ``{argument: result}``.
    """

    def __init__(self, name: str | None, meaning: Meaning, aliases: Mapping[int, int] | None = None):
        self.name = name
        self.meaning = meaning
        self.aliases = dict(aliases or {})
        self.primitive = Primitive(f"rnnlm_{name or meaning.__name__.strip('_')}")
        self.primitive.multiple_results = True
        self.primitive.def_impl(functools.partial(xla.apply_primitive, self.primitive))
        self.primitive.def_abstract_eval(self._abstract_eval)
        ad.primitive_jvps[self.primitive] = self._jvp
        batching.primitive_batchers[self.primitive] = self._batch
        mlir.register_lowering(self.primitive, mlir.lower_fun(meaning, multiple_results=True))
        if name is not None:
            mlir.register_lowering(self.primitive, self._lower_on_cpu, platform="cpu")

    def __call__(self, *arrays: Array, **static: Any) -> tuple[Array, ...]:
        """The results of ``meaning(*arrays, **static)``."""
        if is_by_meaning():
            return tuple(self.meaning(*arrays, **static))
        return tuple(self.primitive.bind(*vary_together(arrays), **static))

    def _abstract_eval(self, *arrays: Any, **static: Any) -> list[Any]:
        return jax.make_jaxpr(functools.partial(self.meaning, **static))(*arrays).out_avals

    def _jvp(self, primals: Arrays, tangents: Any, **static: Any) -> tuple[Any, Any]:
        return jax.jvp(functools.partial(self.meaning, **static), tuple(primals), _instantiate(tangents))

    def _batch(self, arrays: Arrays, axes: Sequence[Any], **static: Any) -> tuple[Any, Any]:
        results = jax.vmap(functools.partial(self.meaning, **static), in_axes=tuple(axes))(*arrays)
        return results, [0] * len(results)

    def _lower_on_cpu(self, context: Any, *operands: Any, **static: Any) -> Any:
        data_type = DATA_TYPES.get(str(context.avals_in[0].dtype))
        if (
            data_type is None
            or context.module_context.lowering_parameters.for_export  # a program that other machines run
            or _compiler_divides(context.module_context.axis_context)
            or unavailable(data_type) is not None
        ):
            return mlir.lower_fun(self.meaning, multiple_results=True)(context, *operands, **static)
        lowering = jax.ffi.ffi_lowering(target(self.name, data_type), operand_output_aliases=self.aliases)
        return lowering(context, *operands, **static)


class LinearOperation(Operation):
    """An operation that is linear in its arguments after the first ``residuals``, and knows its own transpose.

    Args:
        name: of the kernel, or None.
        meaning: the pure function, to a tuple of arrays.
        transpose: ``(residuals, cotangents, **static)`` to the cotangents of the linear arguments.
        residuals: how many arguments it is not linear in.
    """

    def __init__(self, name: str | None, meaning: Meaning, transpose: TransposeFn, residuals: int):
        super().__init__(name, meaning)
        self.transpose = transpose
        self.residuals = residuals
        ad.primitive_transposes[self.primitive] = self._transpose

    def _jvp(self, primals: Arrays, tangents: Any, **static: Any) -> tuple[Any, Any]:
        if any(type(t) is not ad.Zero for t in tangents[: self.residuals]):
            return super()._jvp(primals, tangents, **static)
        moved = _instantiate(tangents[self.residuals :])
        return self(*primals, **static), self(*primals[: self.residuals], *moved, **static)

    def _transpose(self, cotangents: Any, *arrays: Any, **static: Any) -> list[Any]:
        found = self.transpose(tuple(arrays[: self.residuals]), tuple(_instantiate(cotangents)), **static)
        return [None] * self.residuals + list(found)


def _compiler_divides(axes: Any) -> bool:
    """Whether XLA divides the program over devices: it would gather the operands of a call that it cannot divide.

    It does not under ``shard_map`` over all axes of more than one device, where each runs a program of its own.
    """
    if hasattr(axes, "manual_axes"):
        return any(length > 1 for name, length in axes.mesh.shape.items() if name not in axes.manual_axes)
    return (getattr(axes, "num_devices", 1) or 1) > 1


def _instantiate(tangents: Sequence[Any]) -> tuple[Any, ...]:
    """Symbolic zeros as arrays of zeros."""
    return tuple(ad.instantiate_zeros(t) if type(t) is ad.Zero else t for t in tangents)
