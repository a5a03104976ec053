"""The singular spectrum of a product of matrices, in logarithms, with a certificate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians import compensated, graded, graded_svd
from rnnlm_jax.jacobians.graded import GradedProduct
from rnnlm_jax.jacobians.wide import arithmetic_dtype, as_type, wide


class ProductSpectrum(NamedTuple):
    """Log singular values of a product, and what vouches for them."""

    log_singular_values: Float[Array, " n"]
    """Nats, descending; -inf for the null directions of an exactly singular product."""
    log_abs_det: Float[Array, ""]
    """``Σ_t log|det J_t|``, computed from each factor alone: what the values must sum to."""
    residual: Float[Array, ""]
    """Bound (nats) on what the final iteration has left undone of any value."""
    trusted: Int[Array, ""]
    """How many values, from the largest on, are vouched for: their residuals are small, and the sum fits."""


def product_spectrum(
    matrices: Float[Array, "T n n"], tolerance: float | None = None, arithmetic: Any = None
) -> ProductSpectrum:
    """Log singular values of ``J_{T-1} ⋯ J_0``, right at any length, by a graded product (see ``graded``).

    Args:
        matrices: the factors ``J_t``, the first to act first.
        tolerance: nats by which residuals, and the sum, may be off for values to be trusted; ``n √ε`` unless given.
        arithmetic: the type to compute in; float64 unless given (see ``wide``). The result has the matrices' type.

    Raises:
        UserError: if the matrices are not square.
    """
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
        raise UserError(f"expected square matrices [T, n, n], not an array of shape {matrices.shape}")
    dtype = arithmetic_dtype(arithmetic)

    def step(carry: Running, j: Array) -> tuple[Running, None]:
        return extend(carry, j.astype(dtype), None), None

    with wide(dtype):
        carry, _ = jax.lax.scan(step, start(matrices.shape[1], dtype), matrices)
        return as_type(certified(carry, dtype, tolerance), matrices.dtype)


class Running(NamedTuple):
    """A product under way, and the log-determinants of its factors so far."""

    product: GradedProduct
    log_abs_det: compensated.Sum


def start(n: int, dtype: Any) -> Running:
    """The empty product."""
    return Running(graded.identity(n, dtype), compensated.zero(dtype))


def extend(running: Running, j: Float[Array, "n n"], log_abs_det: Float[Array, ""] | None) -> Running:
    """One more factor on the left; its log-determinant by LU unless it is known in closed form."""
    log_abs_det = jnp.linalg.slogdet(j)[1] if log_abs_det is None else log_abs_det
    return Running(graded.multiply(j, running.product), compensated.add(running.log_abs_det, log_abs_det))


def certified(running: Running, precision: Any, tolerance: float | None = None) -> ProductSpectrum:
    """The spectrum of a finished product, checked against its determinant.

    ``precision`` is the type that the factors, and their log-determinants, were computed in: its ε decides how well the
    two can agree. Values of -inf are vouched for where the determinant says so too; where rounding hides the zero from
    it, only the finite values are.
    """
    values, residuals = graded_svd.singular_values(running.product)
    log_abs_det = compensated.value(running.log_abs_det)
    eps = float(jnp.finfo(precision).eps)
    allowed = values.size * eps**0.5 if tolerance is None else tolerance
    rounding = 16 * eps * jnp.abs(log_abs_det)  # of a sum of many steps
    finite = jnp.isfinite(values)
    fits = jnp.where(
        finite.all(),
        jnp.abs(values.sum() - log_abs_det) <= allowed + rounding,
        ~jnp.isnan(log_abs_det) & ~jnp.isnan(values).any(),
    )
    vouched = (residuals <= allowed) & (finite | (log_abs_det == -jnp.inf)) & fits
    trusted = jnp.cumprod(vouched.astype(jnp.int32)).sum(dtype=jnp.int32)
    return ProductSpectrum(values, log_abs_det, residuals.max(), trusted)
