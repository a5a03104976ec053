"""Singular values of short, well-conditioned products by plain multiplication and LAPACK's SVD.

For one factor, or a few well-conditioned ones, this is accurate and takes a tenth of the time of a graded product.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.arrays.power_of_two import scale_by_power_of_two

#: Largest number of factors for which this is tried.
MOST_FACTORS = 3


class PlainSpectrum(NamedTuple):
    """Log singular values of a product (nats, descending)."""

    log_values: Float[Array, " n"]
    error: Float[Array, " n"]
    """Bound (nats) on the error of each value: rounding errors of products and SVD, by Weyl's theorem."""
    is_accurate: Bool[Array, ""]
    """Whether the relative errors of all singular values are below ``ε^0.6`` (4e-10 in float64)."""


def plain_spectrum(matrices: Array, dtype: np.dtype) -> PlainSpectrum:
    """Return the spectrum of ``J_{T-1} ⋯ J_0``, given ``[T, n, n]``; never accurate if a value is zero, inf or NaN."""
    n, eps = matrices.shape[1], float(jnp.finfo(dtype).eps)
    factors = [scale_by_power_of_two(matrix.astype(dtype)) for matrix in matrices]
    product, sizes, exponent = factors[0].matrix, jnp.abs(factors[0].matrix), factors[0].exponent
    for factor in factors[1:]:
        product, sizes = factor.matrix @ product, jnp.abs(factor.matrix) @ sizes
        exponent = exponent + factor.exponent
    values = jnp.linalg.svd(product, compute_uv=False)
    absolute_error = jax.lax.stop_gradient(n * eps * (len(factors) * jnp.linalg.norm(sizes) + 4 * values[0]))
    relative_error = absolute_error / jax.lax.stop_gradient(values)
    log_values = jnp.log(values) + exponent.astype(dtype) * jnp.asarray(np.log(2), dtype)
    rounding_of_logs = 4 * eps * jnp.abs(jax.lax.stop_gradient(log_values))
    error = -jnp.log1p(-jnp.minimum(relative_error, 0.5)) + rounding_of_logs
    return PlainSpectrum(log_values, error, (relative_error < eps**0.6).all())
