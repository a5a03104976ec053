"""JAX primitives that a pure function defines and a native kernel computes on CPUs."""

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
ReferenceFn = Callable[..., tuple[Array, ...]]  # (*arrays, **static) -> arrays
TransposeFn = Callable[..., tuple[Array, ...]]  # (residuals, cotangents, **static) -> cotangents of linear arguments

#: The dtypes that kernels have, with XLA's names for them.
DATA_TYPES = {"float32": "F32", "float64": "F64"}

_reference_only = contextvars.ContextVar("reference_only", default=False)


@contextlib.contextmanager
def reference_only() -> Iterator[None]:
    """Trace operations as their reference functions, for programs that run elsewhere or have symbolic shapes."""
    token = _reference_only.set(True)
    try:
        yield
    finally:
        _reference_only.reset(token)


def is_reference_only() -> bool:
    """Return whether operations are traced as their reference functions."""
    return _reference_only.get()


class Operation:
    """A function of arrays that is defined by ``reference`` and runs as the native kernel ``name`` where it can.

    On a CPU with one device the kernel for the dtype of the first argument is called. On other devices, for other
    dtypes, in programs of ``jax.export``, or where kernels cannot be compiled, ``reference`` itself is compiled.
    ``vmap`` and derivatives are those of ``reference``. Static arguments are numbers and truth values, passed by name.

    Args:
        name: name of the kernel; None: without a kernel.
        reference: the pure function, to a tuple of arrays.
        aliases: arguments whose memory a result may take over, ``{argument: result}``.
    """

    def __init__(self, name: str | None, reference: ReferenceFn, aliases: Mapping[int, int] | None = None):
        self.name = name
        self.reference = reference
        self.aliases = dict(aliases or {})
        self.primitive = Primitive(f"rnnlm_{name or reference.__name__.strip('_')}")
        self.primitive.multiple_results = True
        self.primitive.def_impl(functools.partial(xla.apply_primitive, self.primitive))
        self.primitive.def_abstract_eval(self._abstract_eval)
        ad.primitive_jvps[self.primitive] = self._jvp
        batching.primitive_batchers[self.primitive] = self._batch
        mlir.register_lowering(self.primitive, mlir.lower_fun(reference, multiple_results=True))
        if name is not None:
            mlir.register_lowering(self.primitive, self._lower_on_cpu, platform="cpu")

    def __call__(self, *arrays: Array, **static: Any) -> tuple[Array, ...]:
        """Return ``reference(*arrays, **static)``."""
        if is_reference_only():
            return tuple(self.reference(*arrays, **static))
        return tuple(self.primitive.bind(*vary_together(arrays), **static))

    def _abstract_eval(self, *arrays: Any, **static: Any) -> list[Any]:
        return jax.make_jaxpr(functools.partial(self.reference, **static))(*arrays).out_avals

    def _jvp(self, primals: Arrays, tangents: Any, **static: Any) -> tuple[Any, Any]:
        return jax.jvp(functools.partial(self.reference, **static), tuple(primals), _dense(tangents))

    def _batch(self, arrays: Arrays, axes: Sequence[Any], **static: Any) -> tuple[Any, Any]:
        results = jax.vmap(functools.partial(self.reference, **static), in_axes=tuple(axes))(*arrays)
        return results, [0] * len(results)

    def _lower_on_cpu(self, context: Any, *operands: Any, **static: Any) -> Any:
        data_type = DATA_TYPES.get(str(context.avals_in[0].dtype))
        if (
            data_type is None
            or context.module_context.lowering_parameters.for_export  # a program that other machines run
            or _is_divided_by_xla(context.module_context.axis_context)
            or unavailable(data_type) is not None
        ):
            return mlir.lower_fun(self.reference, multiple_results=True)(context, *operands, **static)
        lowering = jax.ffi.ffi_lowering(target(self.name, data_type), operand_output_aliases=self.aliases)
        return lowering(context, *operands, **static)


class LinearOperation(Operation):
    """An operation with a transpose of its own, linear in its arguments after the first ``residuals``.

    Args:
        name: name of the kernel, or None.
        reference: the pure function, to a tuple of arrays.
        transpose: ``(residuals, cotangents, **static)`` to the cotangents of the linear arguments.
        residuals: the number of leading arguments in which it is not linear.
    """

    def __init__(self, name: str | None, reference: ReferenceFn, transpose: TransposeFn, residuals: int):
        super().__init__(name, reference)
        self.transpose = transpose
        self.residuals = residuals
        ad.primitive_transposes[self.primitive] = self._transpose

    def _jvp(self, primals: Arrays, tangents: Any, **static: Any) -> tuple[Any, Any]:
        if any(type(t) is not ad.Zero for t in tangents[: self.residuals]):
            return super()._jvp(primals, tangents, **static)
        moved = _dense(tangents[self.residuals :])
        return self(*primals, **static), self(*primals[: self.residuals], *moved, **static)

    def _transpose(self, cotangents: Any, *arrays: Any, **static: Any) -> list[Any]:
        found = self.transpose(tuple(arrays[: self.residuals]), tuple(_dense(cotangents)), **static)
        return [None] * self.residuals + list(found)


def _is_divided_by_xla(axes: Any) -> bool:
    """Return whether XLA divides the program over devices: it would gather the operands of a kernel call.

    It does not under ``shard_map`` over all axes of more than one device, where each device runs its own program.
    """
    if hasattr(axes, "manual_axes"):
        return any(length > 1 for name, length in axes.mesh.shape.items() if name not in axes.manual_axes)
    return (getattr(axes, "num_devices", 1) or 1) > 1


def _dense(tangents: Sequence[Any]) -> tuple[Any, ...]:
    """Return tangents with arrays of zeros for symbolic zeros."""
    return tuple(ad.instantiate_zeros(t) if type(t) is ad.Zero else t for t in tangents)
