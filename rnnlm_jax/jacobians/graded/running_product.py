"""Multiplying a graded product step by step: the product, its log-determinant and its certain null directions."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.arrays.power_of_two import scale_by_power_of_two
from rnnlm_jax.jacobians.arithmetic import compensated_sum, extended_range
from rnnlm_jax.jacobians.arithmetic.compensated_sum import CompensatedSum
from rnnlm_jax.jacobians.arithmetic.log_abs_det import log_abs_det_of_scaled
from rnnlm_jax.jacobians.certificate.error_bound import StepRecord, record_step
from rnnlm_jax.jacobians.certificate.null_directions import (
    NullDirections,
    no_null_directions,
    nonzero_entries,
    null_directions_of_product,
)
from rnnlm_jax.jacobians.graded import graded_product
from rnnlm_jax.jacobians.graded.graded_product import GradedProduct


class RunningProduct(NamedTuple):
    """The product of the factors so far, and what follows from the factors alone."""

    product: GradedProduct
    log_abs_det: CompensatedSum
    """``Σ_t ln|det J_t|`` in nats."""
    null: NullDirections


def empty_product(n: int, dtype: DTypeLike) -> RunningProduct:
    """Return the product of no factors."""
    return RunningProduct(graded_product.identity(n, dtype), compensated_sum.zero(dtype), no_null_directions(n))


def multiply_factor(
    running: RunningProduct,
    j: Array,
    dtype: DTypeLike,
    *,
    log_abs_det: Float[Array, ""] | None = None,
    null: Int[Array, ""] | int = 0,
) -> tuple[RunningProduct, StepRecord]:
    """Multiply by a factor from the left; return the new product and the record of this step for the error bound.

    Args:
        running: the product so far.
        j: the factor, ``[n, n]`` of any real dtype.
        dtype: the dtype to compute in.
        log_abs_det: ``ln|det J|`` if a closed form gives it; by LU otherwise.
        null: number of the factor's singular values that are zero by a closed form, beyond those that follow from its
            zero entries.
    """
    nonzero = nonzero_entries(j)
    scaled = scale_by_power_of_two(j.astype(dtype))
    lost = _lost_to_underflow(nonzero, scaled.matrix, j.dtype, exponent=scaled.exponent)
    product, qr = graded_product.multiply(scaled.matrix, running.product)
    product = product._replace(d=extended_range.shift_exponent(product.d, scaled.exponent))
    record = record_step(scaled, running.product, qr, d=product.d, lost=lost)
    if log_abs_det is None:
        log_abs_det = log_abs_det_of_scaled(scaled)
    total = compensated_sum.add(running.log_abs_det, log_abs_det.astype(dtype))
    return RunningProduct(product, total, null_directions_of_product(nonzero, running.null, null)), record


def _lost_to_underflow(
    nonzero: Bool[Array, "n n"], scaled: Float[Array, "n n"], dtype: DTypeLike, *, exponent: Int[Array, ""]
) -> Float[Array, ""]:
    """Bound what any entry of a scaled matrix has lost to underflow, in its own ``dtype`` or after scaling."""
    tiny = jnp.finfo(scaled.dtype).tiny
    lost = jnp.asarray(tiny, scaled.dtype)
    if jnp.issubdtype(dtype, jnp.floating):
        lost = lost + jnp.ldexp(jnp.asarray(max(tiny, float(jnp.finfo(dtype).tiny)), scaled.dtype), -exponent)
    return jnp.where((nonzero & (jnp.abs(scaled) < tiny)).any(), lost, jnp.zeros((), scaled.dtype))
