"""Programs in float64 that jax can transform where x64 is switched off.

What ``jit`` has traced is transformed later: by ``vmap(jit(f))`` and ``grad(jit(f))`` after the function has returned,
and with it the context in which float64 exists. A wide program is one operation to jax, whose arguments and results
have the caller's types; its rules for ``vmap`` and derivatives enter that context again.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir, xla

from rnnlm_jax.jacobians.wide import wide

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Arrays = Sequence[Any]

program_p = Primitive("rnnlm_wide_program")
program_p.multiple_results = True


def wide_program(*static: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function of arrays that computes in its argument ``dtype``: it becomes a wide program.

    Args:
        static: the names of the arguments that are not arrays, ``dtype`` among them.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        names = tuple(inspect.signature(function).parameters)
        untyped: Callable[..., Any] = function

        @functools.wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            named: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
            fixed = {name: named.pop(name) for name in static}
            leaves, structure = jax.tree.flatten(named)
            results = []

            def flat(*leaves: Any) -> list[Any]:
                found, shape = jax.tree.flatten(untyped(**structure.unflatten(leaves), **fixed))
                results.append(shape)
                return found

            dtype = np.dtype(fixed["dtype"])
            outputs = _bind(flat, leaves, dtype)
            return jax.tree.unflatten(results[-1], outputs)

        return call

    return decorate


def _bind(function: Callable[..., Any], arrays: Arrays, dtype: np.dtype) -> list[Any]:
    """The results of a function of arrays as those of a wide program."""
    with wide(dtype):
        return program_p.bind(*arrays, jaxpr=jax.make_jaxpr(function)(*arrays), dtype=dtype)


def _evaluate(*arrays: Any, jaxpr: ClosedJaxpr, dtype: np.dtype) -> list[Any]:
    with wide(dtype):
        return jaxpr_as_fun(jaxpr)(*arrays)


def _abstract(*arrays: Any, jaxpr: ClosedJaxpr, dtype: np.dtype) -> list[Any]:
    del arrays, dtype
    return jaxpr.out_avals


def _batch(arrays: Arrays, axes: Arrays, *, jaxpr: ClosedJaxpr, dtype: np.dtype) -> tuple[list[Any], list[int]]:
    found = _bind(jax.vmap(jaxpr_as_fun(jaxpr), in_axes=tuple(axes)), arrays, dtype)
    return found, [0] * len(found)


def _jvp(primals: Arrays, tangents: Arrays, *, jaxpr: ClosedJaxpr, dtype: np.dtype) -> tuple[list[Any], list[Any]]:
    """The tangents are a program of their own, linear in those given, so that it can be transposed."""
    moving = [k for k, tangent in enumerate(tangents) if type(tangent) is not ad.Zero]
    moved = [k for k, aval in enumerate(jaxpr.out_avals) if jnp.issubdtype(aval.dtype, jnp.floating)]

    def pushed(primals: Arrays, given: Arrays) -> list[Any]:
        def along(*values: Any) -> list[Any]:
            arguments = list(primals)
            for k, value in zip(moving, values, strict=True):
                arguments[k] = value
            found = jaxpr_as_fun(jaxpr)(*arguments)
            return [found[k] for k in moved]

        return jax.jvp(along, tuple(primals[k] for k in moving), tuple(given))[1]

    count = len(primals)
    results = program_p.bind(*primals, jaxpr=jaxpr, dtype=dtype)
    given = [tangents[k] for k in moving]
    found = _bind(lambda *arrays: pushed(arrays[:count], arrays[count:]), [*primals, *given], dtype)
    derivatives: list[Any] = [ad.Zero(aval.to_tangent_aval()) for aval in jaxpr.out_avals]
    for k, tangent in zip(moved, found, strict=True):
        derivatives[k] = tangent
    return results, derivatives


def _transpose(cotangents: Arrays, *arrays: Any, jaxpr: ClosedJaxpr, dtype: np.dtype) -> list[Any]:
    linear = [k for k, array in enumerate(arrays) if ad.is_undefined_primal(array)]
    known = [k for k in range(len(arrays)) if k not in linear]
    live = [k for k, cotangent in enumerate(cotangents) if type(cotangent) is not ad.Zero]
    shapes = [jax.ShapeDtypeStruct(arrays[k].aval.shape, arrays[k].aval.dtype) for k in linear]

    def pulled(*given: Any) -> tuple[Any, ...]:
        fixed, cotangents = given[: len(known)], given[len(known) :]

        def along(*values: Any) -> list[Any]:
            arguments = dict(zip(known, fixed, strict=True)) | dict(zip(linear, values, strict=True))
            found = jaxpr_as_fun(jaxpr)(*(arguments[k] for k in range(len(arrays))))
            return [found[k] for k in live]

        return jax.linear_transpose(along, *shapes)(list(cotangents))

    found = _bind(pulled, [*(arrays[k] for k in known), *(cotangents[k] for k in live)], dtype)
    results: list[Any] = [None] * len(arrays)
    for k, cotangent in zip(linear, found, strict=True):
        results[k] = cotangent
    return results


program_p.def_impl(functools.partial(xla.apply_primitive, program_p))
program_p.def_abstract_eval(_abstract)
batching.primitive_batchers[program_p] = _batch
ad.primitive_jvps[program_p] = _jvp
ad.primitive_transposes[program_p] = _transpose
mlir.register_lowering(program_p, mlir.lower_fun(_evaluate, multiple_results=True))
