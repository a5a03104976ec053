"""A decorator for functions that compute in float64 and can be transformed by jax where x64 is switched off.

``vmap(jit(f))`` and ``grad(jit(f))`` transform what ``jit`` has traced after ``f`` has returned, hence outside of the
context that makes float64 available (``computing_in``). A decorated function is therefore one jax primitive with the
jaxpr of the function as a parameter. Its arguments and results have the caller's dtypes; its rules for evaluation,
``vmap``, jvp and transposition enter the context again.
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

from rnnlm_jax.jacobians.arithmetic.float64_context import computing_in

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Arrays = Sequence[Any]

program_p = Primitive("rnnlm_float64_program")
program_p.multiple_results = True


def float64_program(*static: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function of arrays that computes in its argument ``dtype``: it becomes one jax primitive.

    Args:
        static: names of the arguments that are not arrays; ``dtype`` (float64 or float32) is one of them.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        names = tuple(inspect.signature(function).parameters)
        untyped: Callable[..., Any] = function

        @functools.wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            arrays: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
            options = {name: arrays.pop(name) for name in static}
            leaves, structure = jax.tree.flatten(arrays)
            result_structures = []

            def flat(*leaves: Any) -> list[Any]:
                results, result_structure = jax.tree.flatten(untyped(**structure.unflatten(leaves), **options))
                result_structures.append(result_structure)
                return results

            outputs = _bind(flat, leaves, np.dtype(options["dtype"]))
            return jax.tree.unflatten(result_structures[-1], outputs)

        return call

    return decorate


def _bind(function: Callable[..., Any], arrays: Arrays, dtype: np.dtype) -> list[Any]:
    """Trace a function of arrays and bind it as one primitive; return its results."""
    with computing_in(dtype):
        return program_p.bind(*arrays, jaxpr=jax.make_jaxpr(function)(*arrays), dtype=dtype)


def _evaluate(*arrays: Any, jaxpr: ClosedJaxpr, dtype: np.dtype) -> list[Any]:
    with computing_in(dtype):
        return jaxpr_as_fun(jaxpr)(*arrays)


def _abstract(*arrays: Any, jaxpr: ClosedJaxpr, dtype: np.dtype) -> list[Any]:
    del arrays, dtype
    return jaxpr.out_avals


def _batch(arrays: Arrays, axes: Arrays, *, jaxpr: ClosedJaxpr, dtype: np.dtype) -> tuple[list[Any], list[int]]:
    results = _bind(jax.vmap(jaxpr_as_fun(jaxpr), in_axes=tuple(axes)), arrays, dtype)
    return results, [0] * len(results)


def _jvp(primals: Arrays, tangents: Arrays, *, jaxpr: ClosedJaxpr, dtype: np.dtype) -> tuple[list[Any], list[Any]]:
    """Compute the output tangents by a primitive of their own: it is linear in the input tangents, hence transposable.

    Inputs with symbolic zeros as tangents are constants of that primitive; integer outputs have symbolic zeros.
    """
    inputs = [k for k, tangent in enumerate(tangents) if type(tangent) is not ad.Zero]
    outputs = [k for k, aval in enumerate(jaxpr.out_avals) if jnp.issubdtype(aval.dtype, jnp.floating)]

    def output_tangents(primals: Arrays, input_tangents: Arrays) -> list[Any]:
        def differentiable_part(*values: Any) -> list[Any]:
            arguments = list(primals)
            for k, value in zip(inputs, values, strict=True):
                arguments[k] = value
            results = jaxpr_as_fun(jaxpr)(*arguments)
            return [results[k] for k in outputs]

        return jax.jvp(differentiable_part, tuple(primals[k] for k in inputs), tuple(input_tangents))[1]

    count = len(primals)
    results = program_p.bind(*primals, jaxpr=jaxpr, dtype=dtype)
    input_tangents = [tangents[k] for k in inputs]
    computed = _bind(
        lambda *arrays: output_tangents(arrays[:count], arrays[count:]), [*primals, *input_tangents], dtype
    )
    result_tangents: list[Any] = [ad.Zero(aval.to_tangent_aval()) for aval in jaxpr.out_avals]
    for k, tangent in zip(outputs, computed, strict=True):
        result_tangents[k] = tangent
    return results, result_tangents


def _transpose(cotangents: Arrays, *arrays: Any, jaxpr: ClosedJaxpr, dtype: np.dtype) -> list[Any]:
    linear = [k for k, array in enumerate(arrays) if ad.is_undefined_primal(array)]
    known = [k for k in range(len(arrays)) if k not in linear]
    live = [k for k, cotangent in enumerate(cotangents) if type(cotangent) is not ad.Zero]
    shapes = [jax.ShapeDtypeStruct(arrays[k].aval.shape, arrays[k].aval.dtype) for k in linear]

    def transposed(*values: Any) -> tuple[Any, ...]:
        constants, cotangents = values[: len(known)], values[len(known) :]

        def linear_part(*values: Any) -> list[Any]:
            arguments = dict(zip(known, constants, strict=True)) | dict(zip(linear, values, strict=True))
            results = jaxpr_as_fun(jaxpr)(*(arguments[k] for k in range(len(arrays))))
            return [results[k] for k in live]

        return jax.linear_transpose(linear_part, *shapes)(list(cotangents))

    computed = _bind(transposed, [*(arrays[k] for k in known), *(cotangents[k] for k in live)], dtype)
    input_cotangents: list[Any] = [None] * len(arrays)
    for k, cotangent in zip(linear, computed, strict=True):
        input_cotangents[k] = cotangent
    return input_cotangents


program_p.def_impl(functools.partial(xla.apply_primitive, program_p))
program_p.def_abstract_eval(_abstract)
batching.primitive_batchers[program_p] = _batch
ad.primitive_jvps[program_p] = _jvp
ad.primitive_transposes[program_p] = _transpose
mlir.register_lowering(program_p, mlir.lower_fun(_evaluate, multiple_results=True))
