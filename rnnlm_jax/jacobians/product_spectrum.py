"""The singular spectrum of a product of matrices, in logarithms, with a certificate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.jacobians import compensated, graded, graded_svd, scales
from rnnlm_jax.jacobians.arguments import result_dtype, square_matrices
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.graded import GradedProduct
from rnnlm_jax.jacobians.log_abs_det import log_abs_det_of_scaled
from rnnlm_jax.jacobians.null_directions import NullDirections, multiplied, no_directions, nonzero_entries
from rnnlm_jax.jacobians.power_of_two import power_of_two
from rnnlm_jax.jacobians.wide import arithmetic_dtype, as_type, wide


class ProductSpectrum(NamedTuple):
    """Log singular values of a product, and what vouches for them."""

    log_singular_values: Float[Array, " n"]
    """Nats, descending; -inf for the null directions of an exactly singular product."""
    log_abs_det: Float[Array, ""]
    """``Σ_t log|det J_t|``, computed from each factor alone: what the values must sum to."""
    residual: Float[Array, ""]
    """Bound (nats) on what the final iteration has left undone of any value; inf or NaN if a factor is not finite."""
    trusted: Int[Array, ""]
    """How many values, from the largest on, are vouched for; see ``certified``."""


def product_spectrum(matrices: Any, tolerance: float | None = None, arithmetic: Any = None) -> ProductSpectrum:
    """Log singular values of ``J_{T-1} ⋯ J_0``, right at any length, by a graded product (see ``graded``).

    Args:
        matrices: the factors ``J_t``, ``[T, n, n]`` real numbers of any type, the first to act first.
        tolerance: nats by which a value, and the sum of all, may be off for it to be trusted; ``n √ε`` unless given.
        arithmetic: the type to compute in; float64 unless given (see ``wide``).

    Returns:
        floats of the matrices' type; float32 for narrower ones, jax's default for whole numbers and booleans.

    Raises:
        UserError: if the matrices are not square, not real, or have batch axes.
    """
    matrices, dtype = square_matrices(matrices), arithmetic_dtype(arithmetic)
    results = result_dtype(matrices.dtype)
    with wide(dtype):
        return _product_spectrum(matrices, tolerance, dtype, results)


@compiled("dtype", "results")
def _product_spectrum(matrices: Array, tolerance: float | None, dtype: np.dtype, results: np.dtype) -> ProductSpectrum:
    def step(carry: Running, j: Array) -> tuple[Running, None]:
        return extend(carry, j, dtype), None

    carry, _ = jax.lax.scan(step, start(matrices.shape[1], dtype), jnp.asarray(matrices))
    return as_type(certified(carry, dtype, tolerance), results)


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
) -> Running:
    """One more factor on the left.

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
    product = graded.multiply(scaled.matrix, running.product, lost)
    product = product._replace(d=scales.shifted(product.d, scaled.exponent))
    if log_abs_det is None:
        log_abs_det = log_abs_det_of_scaled(scaled)
    total = compensated.add(running.log_abs_det, log_abs_det.astype(dtype))
    return Running(product, total, multiplied(nonzero, running.null, null))


def _lost(nonzero: Bool[Array, "n n"], scaled: Float[Array, "n n"], dtype: Any, exponent: Array) -> Float[Array, ""]:
    """Bound on what any entry of a scaled matrix has lost to underflow, in its own type or after."""
    tiny = jnp.finfo(scaled.dtype).tiny
    lost = jnp.asarray(tiny, scaled.dtype)
    if jnp.issubdtype(dtype, jnp.floating):
        lost = lost + jnp.ldexp(jnp.asarray(max(tiny, float(jnp.finfo(dtype).tiny)), scaled.dtype), -exponent)
    return jnp.where((nonzero & (jnp.abs(scaled) < tiny)).any(), lost, jnp.zeros((), scaled.dtype))


def certified(running: Running, precision: Any, tolerance: float | None = None) -> ProductSpectrum:
    """The spectrum of a finished product, and how many of its values are right.

    A value is trusted, together with all larger ones, if the final iteration has left nothing of it undone, and if
    rounding cannot have changed it: a pivot of a QR decomposition that is close to the rounding error of its row makes
    the value, and all smaller ones, untrusted. A value of -inf is trusted where so many null directions follow from
    the zeros of the factors or from a cell's closed form: rounding alone can neither make nor prove an exact zero.
    Where no value is uncertain, their sum must also be ``Σ_t log|det J_t|``, or none of them is trusted.

    ``precision`` is the type that the factors, and their log-determinants, were computed in: its ε decides how well the
    two can agree.
    """
    values, residuals, rounding = graded_svd.singular_values(running.product)
    log_abs_det = compensated.value(running.log_abs_det)
    eps = float(jnp.finfo(precision).eps)
    allowed = jnp.asarray(values.size * eps**0.5 if tolerance is None else tolerance, values.dtype)
    certain = (residuals <= allowed) & (rounding <= allowed)
    null = jnp.arange(values.size, dtype=jnp.int32) >= values.size - running.null.known
    right = jnp.where(values == -jnp.inf, null, certain & jnp.isfinite(values) & ~null)
    drift = jnp.where(jnp.isfinite(log_abs_det), 16 * eps * jnp.abs(log_abs_det), 0)  # of a sum of many steps
    fits = (jnp.abs(values.sum() - log_abs_det) <= allowed + drift) | ~(certain & jnp.isfinite(values)).all()
    vouched = right & fits & ~jnp.isnan(log_abs_det)
    trusted = jnp.cumprod(vouched.astype(jnp.int32)).sum(dtype=jnp.int32)
    return ProductSpectrum(values, log_abs_det, residuals.max(), trusted)
