"""The spectrum of a block-diagonal matrix, merged from bounds on the values of its blocks.

The k-th largest number of a set lies between the k-th largest of its lower and the k-th largest of its upper bounds. So
a value that is known badly does not spoil those that are certainly above or below it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.jacobians.certificate.certified_spectrum import ProductSpectrum


class BoundedValues(NamedTuple):
    """Log singular values (nats) with bounds, ``lower <= exact value <= upper``."""

    values: Float[Array, "*B n"]
    lower: Float[Array, "*B n"]
    upper: Float[Array, "*B n"]


def bounds_of_blocks(spectra: ProductSpectrum) -> BoundedValues:
    """Return the values of blocks, ``[*B, m]`` each, with bounds.

    The values of one block descend, which bounds those that have no bound of their own: they are not above the values
    before them, and not below the values after them.
    """
    values, error = spectra.log_singular_values, jax.lax.stop_gradient(spectra.error)
    known, fixed = jnp.isfinite(error), jax.lax.stop_gradient(values)
    lower = jnp.where(known, fixed - error, -jnp.inf)
    upper = jnp.where(known, fixed + error, jnp.inf)
    axis = values.ndim - 1
    return BoundedValues(values, jax.lax.cummax(lower, axis=axis, reverse=True), jax.lax.cummin(upper, axis=axis))


def merge(bounded: BoundedValues) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return the values in descending order, NaN last, and a bound on the error of each; derivatives are of values."""
    values = bounded.values[jnp.argsort(-bounded.values)]
    lower, upper = (-jnp.sort(-bound) for bound in (bounded.lower, bounded.upper))
    fixed = jax.lax.stop_gradient(values)
    above = jnp.where(upper == fixed, 0, upper - fixed)  # both may be -inf
    below = jnp.where(lower == fixed, 0, fixed - lower)
    error = jnp.maximum(above, below)
    return values, jnp.where(jnp.isnan(error), jnp.inf, error)
