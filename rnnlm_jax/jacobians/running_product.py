"""A product of matrices under way, and what is known of it from its factors alone."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.jacobians import compensated, error_bound, graded, scales
from rnnlm_jax.jacobians.graded import GradedProduct
from rnnlm_jax.jacobians.log_abs_det import log_abs_det_of_scaled
from rnnlm_jax.jacobians.null_directions import NullDirections, multiplied, no_directions, nonzero_entries
from rnnlm_jax.jacobians.power_of_two import power_of_two


class Running(NamedTuple):
    """A product under way, and what is known of it from its factors alone."""

    product: GradedProduct
    log_abs_det: compensated.Sum
    null: NullDirections


def start(n: int, dtype: Any) -> Running:
    """The empty product."""
    return Running(graded.identity(n, dtype), compensated.zero(dtype), no_directions(n))


def extend(
    running: Running,
    j: Float[Array, "n n"],
    dtype: Any,
    log_abs_det: Float[Array, ""] | None = None,
    null: Int[Array, ""] | int = 0,
) -> tuple[Running, error_bound.Step]:
    """One more factor on the left, and the record of this step.

    Args:
        running: the product so far.
        j: the factor, in any type.
        dtype: the type to compute in.
        log_abs_det: of the factor, if it is known in closed form; by LU otherwise.
        null: so many of the factor's singular values are known to be zero, beyond what its zeros say.
    """
    nonzero = nonzero_entries(j)
    scaled = power_of_two(j.astype(dtype))
    lost = _lost(nonzero, scaled.matrix, j.dtype, scaled.exponent)
    product, done = graded.multiply(scaled.matrix, running.product)
    product = product._replace(d=scales.shifted(product.d, scaled.exponent))
    step = error_bound.recorded(scaled, running.product, done, product.d, lost)
    if log_abs_det is None:
        log_abs_det = log_abs_det_of_scaled(scaled)
    total = compensated.add(running.log_abs_det, log_abs_det.astype(dtype))
    return Running(product, total, multiplied(nonzero, running.null, null)), step


def _lost(nonzero: Bool[Array, "n n"], scaled: Float[Array, "n n"], dtype: Any, exponent: Array) -> Float[Array, ""]:
    """Bound on what any entry of a scaled matrix has lost to underflow, in its own type or after."""
    tiny = jnp.finfo(scaled.dtype).tiny
    lost = jnp.asarray(tiny, scaled.dtype)
    if jnp.issubdtype(dtype, jnp.floating):
        lost = lost + jnp.ldexp(jnp.asarray(max(tiny, float(jnp.finfo(dtype).tiny)), scaled.dtype), -exponent)
    return jnp.where((nonzero & (jnp.abs(scaled) < tiny)).any(), lost, jnp.zeros((), scaled.dtype))
