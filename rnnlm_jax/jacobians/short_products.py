"""Singular values of a short product by a plain product and LAPACK's SVD, where their errors are small for certain.

One factor, or a few well-conditioned ones, need nothing more, at a tenth of the time of a graded product.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.jacobians.power_of_two import power_of_two

#: The most factors that are tried so.
MOST_FACTORS = 3


class PlainSpectrum(NamedTuple):
    """Log singular values of a product (nats, descending)."""

    log_values: Float[Array, " n"]
    error: Float[Array, " n"]
    """Bound (nats) on the error of each: by Weyl's theorem, of what products and SVD round."""
    good: Bool[Array, ""]
    """Whether the errors of all values are below ``ε^0.6`` (4e-10 in float64)."""


def plain_spectrum(matrices: Float[Array, "T n n"], dtype: np.dtype) -> PlainSpectrum:
    """The spectrum of ``J_{T-1} ⋯ J_0``; values that are zero, infinite or NaN are never good."""
    n, eps = matrices.shape[1], float(jnp.finfo(dtype).eps)
    factors = [power_of_two(matrix.astype(dtype)) for matrix in matrices]
    product, sizes, exponent = factors[0].matrix, jnp.abs(factors[0].matrix), factors[0].exponent
    for factor in factors[1:]:
        product, sizes = factor.matrix @ product, jnp.abs(factor.matrix) @ sizes
        exponent = exponent + factor.exponent
    values = jnp.linalg.svd(product, compute_uv=False)
    off = jax.lax.stop_gradient(n * eps * (len(factors) * jnp.linalg.norm(sizes) + 4 * values[0]))
    share = off / jax.lax.stop_gradient(values)
    log_values = jnp.log(values) + exponent.astype(dtype) * jnp.asarray(np.log(2), dtype)
    error = -jnp.log1p(-jnp.minimum(share, 0.5)) + 4 * eps * jnp.abs(jax.lax.stop_gradient(log_values))
    return PlainSpectrum(log_values, error, (share < eps**0.6).all())
