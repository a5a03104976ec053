"""Derivatives of singular spectra of products, in forward and reverse mode."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.jacobians.certificate.certified_spectrum import ProductSpectrum
from rnnlm_jax.jacobians.graded.singular_value_derivatives import graded_steps, sensitivities

Arguments = ParamSpec("Arguments")


def with_derivative(
    compute: Callable[[Tree], ProductSpectrum],
    *,
    factors: Callable[[Tree], Float[Array, "T n n"]],
    log_abs_dets: Callable[[Tree], Float[Array, " T"]],
    lags: Sequence[int],
    dtype: np.dtype,
    inputs: Tree,
) -> ProductSpectrum:
    """Return ``compute(inputs)`` with derivatives by the formula of ``singular_value_derivatives``.

    The derivatives of the error bounds are 0. See ``constant_where_infinite`` for values of -inf.

    Args:
        compute: computes the spectra at the lags; the fields have a leading axis, one entry per lag.
        factors: computes the matrices whose products they are.
        log_abs_dets: computes ``ln|det|`` of each factor.
        lags: numbers of factors of the products, ascending; the last is T.
        dtype: the dtype to compute in.
        inputs: the argument of the three functions, which must not close over values that are being differentiated.
    """

    @jax.custom_jvp
    def spectra(inputs: Tree) -> ProductSpectrum:
        return compute(inputs)

    @spectra.defjvp
    def _(primals: tuple[Tree], tangents: tuple[Tree]) -> tuple[ProductSpectrum, Any]:
        spectra_at_lags = spectra(*primals)
        matrices, factor_tangents = jax.jvp(factors, primals, tangents)
        _, log_det_tangents = jax.jvp(log_abs_dets, primals, tangents)
        products, steps = graded_steps(matrices, dtype)
        factor_tangents = factor_tangents.astype(dtype)

        def at(lag: Array) -> Float[Array, " n"]:
            product = jax.tree.map(lambda part: part[lag - 1], products)
            left, right = sensitivities(steps, lag, product)
            return jnp.einsum("tia,tab,tbi->i", left, factor_tangents, right)

        numbers = np.asarray(lags, np.int32)
        if len(lags) == 1:
            value_tangents = at(jnp.asarray(numbers[0]))[None]
        else:
            value_tangents = jax.lax.map(jax.checkpoint(at), jnp.asarray(numbers))
        log_abs_det_tangents = jnp.cumsum(log_det_tangents)[numbers - 1]
        return spectra_at_lags, spectra_at_lags._replace(
            log_singular_values=value_tangents.astype(spectra_at_lags.log_singular_values.dtype),
            log_abs_det=log_abs_det_tangents.astype(spectra_at_lags.log_abs_det.dtype),
            error=jnp.zeros_like(spectra_at_lags.error),
            trusted=np.zeros(spectra_at_lags.trusted.shape, jax.dtypes.float0),
        )

    return spectra(inputs)


def constant_where_infinite(function: Callable[Arguments, ProductSpectrum]) -> Callable[Arguments, ProductSpectrum]:
    """Decorate a function that returns a ``ProductSpectrum``: the derivative of values of -inf is 0."""

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ProductSpectrum:
        spectrum = function(*args, **kwargs)
        return spectrum._replace(
            log_singular_values=_stop_gradient_where_infinite(spectrum.log_singular_values),
            log_abs_det=_stop_gradient_where_infinite(spectrum.log_abs_det),
        )

    return call


def _stop_gradient_where_infinite(values: Array) -> Array:
    return jnp.where(values == -jnp.inf, jax.lax.stop_gradient(values), values)
