"""The spectra of products as functions that can be differentiated, forwards and backwards."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.jacobians.sensitivities import graded_steps, sensitivities

Arguments = ParamSpec("Arguments")
Spectra = TypeVar("Spectra")


def with_derivative(
    compute: Callable[[Tree], Spectra],
    factors: Callable[[Tree], Float[Array, "T n n"]],
    log_abs_dets: Callable[[Tree], Float[Array, " T"]],
    lags: Sequence[int],
    dtype: Any,
    inputs: Tree,
) -> Spectra:
    """``compute(inputs)``, a ``ProductSpectrum``, with derivatives by the formula of ``sensitivities``.

    All that belongs to the certificate has the derivative 0. See ``infinite_are_constant`` for values of -inf.

    Args:
        compute: the spectra at the lags, one after the other.
        factors: the matrices whose products they are.
        log_abs_dets: ``ln|det|`` of each.
        lags: how many factors each product has, ascending; the last has all.
        dtype: the type to compute in.
        inputs: what the three are functions of; they close over nothing that is being differentiated.
    """

    @jax.custom_jvp
    def values(inputs: Tree) -> Any:
        return compute(inputs)

    @values.defjvp
    def _(primals: tuple[Tree], tangents: tuple[Tree]) -> tuple[Any, Any]:
        found = values(*primals)
        matrices, moved = jax.jvp(factors, primals, tangents)
        _, moved_logs = jax.jvp(log_abs_dets, primals, tangents)
        products, steps = graded_steps(matrices, dtype)
        moved = moved.astype(dtype)

        def at(lag: Array) -> Float[Array, " n"]:
            product = jax.tree.map(lambda part: part[lag - 1], products)
            left, right = sensitivities(steps, lag, product)
            return jnp.einsum("tia,tab,tbi->i", left, moved, right)

        numbers = np.asarray(lags, np.int32)
        if len(lags) == 1:
            derivatives = at(jnp.asarray(numbers[0]))[None]
        else:
            derivatives = jax.lax.map(jax.checkpoint(at), jnp.asarray(numbers))
        logs = jnp.cumsum(moved_logs)[numbers - 1]
        return found, found._replace(
            log_singular_values=derivatives.astype(found.log_singular_values.dtype),
            log_abs_det=logs.astype(found.log_abs_det.dtype),
            error=jnp.zeros_like(found.error),
            trusted=np.zeros(found.trusted.shape, jax.dtypes.float0),
        )

    return values(inputs)


def infinite_are_constant(function: Callable[Arguments, Spectra]) -> Callable[Arguments, Spectra]:
    """Decorate a function that returns a ``ProductSpectrum``: the derivative of values of -inf is 0."""

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Spectra:
        found: Any = function(*args, **kwargs)
        return found._replace(
            log_singular_values=_constant_where_infinite(found.log_singular_values),
            log_abs_det=_constant_where_infinite(found.log_abs_det),
        )

    return call


def _constant_where_infinite(values: Array) -> Array:
    return jnp.where(values == -jnp.inf, jax.lax.stop_gradient(values), values)
