"""Bounds on the errors of the log singular values of a product, to first order in the rounding errors of all steps.

A product is computed by steps ``J_t Q_{t-1} = Q_t R_t + E_t``. The computed product ``P = Q_T R_T ⋯ R_1`` is therefore
the exact product of the factors ``J_t - E_t Q_{t-1}ᵀ``. To first order, the errors multiply ``R_T ⋯ R_1 = D T`` by
``I + A``,

    A = Σ_t W_t Q_tᵀ E_t Y_{t-1},    W_t = R_T ⋯ R_{t+1},    Y_{t-1} = (R_T ⋯ R_t)⁻¹,

where W and Y are recurrences backwards in time over triangular matrices that start from the identity. ``|E_t|`` is
measured entry by entry. The products with W and Y are formed before absolute values are taken: in a product whose
entries cancel (of a Jordan block, a delay line), W and Y are large in opposite directions, which the residual of the
last step alone does not show. With ``D T = U Σ Vᵀ`` the error of ``ln σ_i`` is ``(Uᵀ A U)_ii``.

A direction whose ``r_kk`` is not above its rounding error is dropped, as the zero of a singular matrix. What it
contributed is bounded in absolute terms by the scales and rows of the product before the step, and propagated by W like
the errors of T.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.arrays.power_of_two import ScaledByPowerOfTwo, times_power_of_two
from rnnlm_jax.jacobians.arithmetic import extended_range
from rnnlm_jax.jacobians.arithmetic.extended_range import ExtendedFloats
from rnnlm_jax.jacobians.graded.graded_product import GradedProduct, GradedQR
from rnnlm_jax.jacobians.graded.graded_svd import GradedValues

#: The first-order bound is multiplied by SAFETY to cover the higher orders, which holds while the bound is at most
#: LARGEST (nats); beyond that nothing is claimed.
SAFETY, LARGEST = 2.0, 0.1

#: A value is uncertain if the errors of all smaller directions together exceed this part of it.
LARGEST_SHARE_OF_SMALLER = 0.1

#: Stands for the exponent of a scale of zero: far below any other exponent.
ZERO_EXPONENT = -(1 << 26)


class StepRecord(NamedTuple):
    """What the bound needs of one step of a graded product."""

    j: Float[Array, "*C n n"]
    """The factor, divided by ``2**exponent``."""
    exponent: Int[Array, "*C"]
    a: Float[Array, "*C n n"]
    """``J Q`` with the Q before the step."""
    q: Float[Array, "*C n n"]
    r: Float[Array, "*C n n"]
    """R with the rows of null directions as computed."""
    null: Bool[Array, "*C n"]
    positions: Int[Array, "*C n"]
    """The column of R in which each column of ``J Q`` stands."""
    growth: Float[Array, "*C n"]
    """Bound on the rounding errors of the rows of T; for null directions, on the dropped rows."""
    lost: Float[Array, "*C"]
    """Bound on what each entry of the factor has lost to underflow."""
    d: ExtendedFloats
    """Scales of the rows; for null directions, those of ``growth``."""


class PreparedRecords(NamedTuple):
    """Records of C consecutive steps, ready for the sums. Columns of R are in the order of the columns of J Q."""

    q: Float[Array, "C n n"]
    r: Float[Array, "C n n"]
    inverse: Float[Array, "C n n"]
    """Inverse of R with the rows of null directions replaced by those of the identity."""
    error: Float[Array, "C n n"]
    """Bound on ``|J Q - Q' R|`` in exact arithmetic."""
    growth: Float[Array, "C n"]
    exponent: Int[Array, " C"]
    d: ExtendedFloats


class ErrorSums(NamedTuple):
    """The recurrences W and Y at some step, and the sums over all later steps.

    Each row of W and column of Y has an exponent of its own.
    """

    w: Float[Array, "*L n n"]
    w_exponent: Int[Array, "*L n"]
    y: Float[Array, "*L n n"]
    y_exponent: Int[Array, "*L n"]
    a: Float[Array, "*L n n"]
    """``|A_kl|``, multiplied by ``d_l / d_k`` where that is below one."""
    rows: Float[Array, "*L n"]
    """Errors of the rows of T, relative to the scales ``_row_scales``."""


def record_step(
    scaled: ScaledByPowerOfTwo, before: GradedProduct, qr: GradedQR, *, d: ExtendedFloats, lost: Float[Array, ""]
) -> StepRecord:
    """Return the record of one step.

    Args:
        scaled: the factor.
        before: the product before the step.
        qr: the QR decomposition of the step.
        d: the scales of the product after the step.
        lost: bound on what each entry of the scaled factor has lost to underflow.
    """
    lengths = jnp.linalg.norm(before.t, axis=1)[qr.order]
    null = jnp.diagonal(qr.r) == 0

    def with_dropped_rows(growth: Array, d: ExtendedFloats) -> tuple[Array, ExtendedFloats]:
        row_sizes = extended_range.times(extended_range.take(before.d, qr.order), lengths)
        top = jax.lax.cummax(_exponents(row_sizes), reverse=True)
        shares = times_power_of_two(
            jnp.abs(qr.r_before_zeroing) * row_sizes.mantissa[None], _exponents(row_sizes)[None] - top[:, None]
        )
        one, exponents = jnp.ones((), growth.dtype), jnp.where(null, top + scaled.exponent, d.exponent)
        return jnp.where(null, shares.sum(axis=1), growth), ExtendedFloats(jnp.where(null, one, d.mantissa), exponents)

    growth = _inner_product_error(before.t) * (jnp.abs(qr.f) @ lengths)
    growth, row_scales = jax.lax.cond(null.any(), with_dropped_rows, lambda growth, d: (growth, d), growth, d)
    positions = jnp.zeros_like(qr.order).at[qr.order].set(jnp.arange(qr.order.size, dtype=qr.order.dtype))
    a = scaled.matrix @ before.q  # the expression that was decomposed: compilers compute it once
    return StepRecord(
        scaled.matrix, scaled.exponent, a, qr.q, qr.r_before_zeroing, null, positions, growth, lost, row_scales
    )


def prepare_records(records: StepRecord, first: Float[Array, "n n"]) -> PreparedRecords:
    """Prepare the records of C steps together; ``first`` is the Q before them."""
    q = records.q
    n, about = q.shape[-1], jnp.finfo(q.dtype)
    r_without_null_rows = jnp.where(records.null[:, :, None], 0, records.r)
    eye = jnp.eye(n, dtype=q.dtype)[None]
    inverse = jax.scipy.linalg.solve_triangular(
        r_without_null_rows + jnp.where(records.null[:, :, None], eye, 0), jnp.broadcast_to(eye, q.shape)
    )
    r = jax.vmap(lambda matrix, positions: matrix[:, positions])(records.r, records.positions)
    inverse = jax.vmap(lambda matrix, positions: matrix[positions])(inverse, records.positions)
    before = jnp.concatenate([first[None], q[:-1]])
    magnitude = jnp.abs(records.j) @ jnp.abs(before) + jnp.abs(q) @ jnp.abs(r)
    error = jnp.abs(records.a - q @ r) + _inner_product_error(q) * magnitude
    error = error + (n * about.tiny + n**0.5 * records.lost[:, None, None])
    return PreparedRecords(q, r, inverse, error, records.growth, records.exponent, records.d)


def sums_of_no_steps(n: int, dtype: np.dtype) -> ErrorSums:
    """Return the sums after the last step."""
    eye, zeros = jnp.eye(n, dtype=dtype), jnp.zeros(n, jnp.int32)
    return ErrorSums(eye, zeros, eye, zeros, jnp.zeros((n, n), dtype), jnp.zeros(n, dtype))


def add_earlier_steps(
    records: PreparedRecords, count: Int[Array, ""], sums: ErrorSums, end: ExtendedFloats
) -> ErrorSums:
    """Return the sums with the steps just before those summed so far.

    Args:
        records: of C steps, of which the first ``count`` are used.
        count: number of steps to add.
        sums: over all later steps.
        end: the scales d of the whole product.
    """
    steps, n, _ = records.q.shape
    used = jnp.arange(steps, dtype=jnp.int32) < count
    eye = jnp.eye(n, dtype=records.q.dtype)[None]
    r, inverse = (jnp.where(used[:, None, None], part, eye) for part in (records.r, records.inverse))
    exponents = jnp.where(used, records.exponent, 0)

    def back(carry: tuple[Array, ...], step: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        w, w_exponent, y, y_exponent = carry
        r, inverse, exponent = step
        w_before, w_shift = _scale_by_axis(w @ r, axis=1)
        y_before, y_shift = _scale_by_axis(inverse @ y, axis=0)
        y_exponent = y_exponent + y_shift
        return (w_before, w_exponent + exponent + w_shift, y_before, y_exponent - exponent), (
            w,
            w_exponent,
            y_before,
            y_exponent,
        )

    carry, (w, w_exponent, y, y_exponent) = jax.lax.scan(back, sums[:4], (r, inverse, exponents), reverse=True)
    last = _exponents(end)
    shrink = jnp.minimum(last[None, :] - last[:, None], 0)
    term = jnp.abs(w @ records.q.mT) @ (jnp.where(used[:, None, None], records.error, 0) @ jnp.abs(y))
    a = times_power_of_two(term, w_exponent[:, :, None] + y_exponent[:, None, :] + shrink[None]).sum(axis=0)
    powers = w_exponent[:, :, None] + _exponents(records.d)[:, None, :] - _row_scales(end)[None, :, None]
    shares = times_power_of_two(jnp.abs(w) * records.d.mantissa[:, None, :], powers)
    rows = (shares * jnp.where(used[:, None], records.growth, 0)[:, None, :]).sum(axis=(0, 2))
    return ErrorSums(carry[0], carry[1], carry[2], carry[3], sums.a + a, sums.rows + rows)


def error_bound(sums: ErrorSums, product: GradedProduct, values: GradedValues) -> Float[Array, " n"]:
    """Return bounds (nats) on the errors of the log singular values of a product; inf where nothing can be claimed.

    Singular vectors are not needed: from ``D T = U Σ Vᵀ`` follows that ``|U_ki|`` is at most the least of 1,
    ``‖T_k‖ d_k / σ_i`` and ``‖(T⁻¹)_k‖ σ_i / d_k`` (row k of T, column k of T⁻¹).
    """
    d, t = product.d, product.t
    n, eps = t.shape[0], float(jnp.finfo(t.dtype).eps)
    logs, last, live = values.log_values, _exponents(d), d.mantissa != 0
    lengths = jnp.linalg.norm(t, axis=1)
    inverse_lengths = jnp.linalg.norm(jnp.linalg.inv(t), axis=0)
    log_scales = jnp.where(live, last, 0).astype(t.dtype) * jnp.asarray(np.log(2), t.dtype)
    log_ratios = log_scales[:, None] - logs[None, :]  # ln(d_k / σ_i)
    limits = jnp.minimum(jnp.log(lengths)[:, None] + log_ratios, jnp.log(2 * inverse_lengths)[:, None] - log_ratios)
    limits = jnp.where(live[:, None], jnp.minimum(limits, 0), -jnp.inf)  # ln of the bound on |U_ki|
    near = limits == 0

    def vector_bounds(log_factor: Array | float) -> Array:
        return jnp.where(live[:, None], jnp.exp(limits + log_factor), 0)

    same, larger, smaller = vector_bounds(0.0), vector_bounds(log_ratios), vector_bounds(-log_ratios)
    unscaled = last[None, :] >= last[:, None]
    parts = [(jnp.where(unscaled, sums.a, 0), same, same), (jnp.where(unscaled, 0, sums.a), larger, smaller)]
    entries = sum((left * (a @ right)).sum(axis=0) for a, left, right in parts)
    squares = sum((left**2 * (a**2 @ right**2)).sum(axis=0) for a, left, right in parts)
    others = (~near & live[:, None]).sum(axis=0).astype(t.dtype)
    norms = (1 + others) * jnp.sqrt(2 * squares)
    top = last.max().astype(t.dtype) * jnp.asarray(np.log(2), t.dtype)
    null_rows = jnp.where(live, 0, sums.rows).sum()
    dropped = jnp.where(null_rows == 0, 0, null_rows * jnp.exp(top - logs))
    rows = jnp.where(live, sums.rows, 0)
    of_steps = jnp.minimum(entries, norms) + (larger * rows[:, None]).sum(axis=0) + dropped
    first_order = of_steps + 8 * n * eps * _row_condition(product) + 2 * eps * jnp.abs(logs)
    total = SAFETY * first_order + values.residual
    swamped = ~(_errors_of_smaller(sums, d) <= LARGEST_SHARE_OF_SMALLER)
    uncertain = jax.lax.cummax((~(total <= LARGEST)).astype(jnp.int32)) > 0
    return jnp.where(uncertain | swamped, jnp.inf, total)


def _inner_product_error(like: Array) -> Array:
    """Bound the relative rounding error of an inner product of n terms, n the last axis of ``like``."""
    n = like.shape[-1]
    return jnp.asarray(min(n + 3, 6 * n**0.5) * float(jnp.finfo(like.dtype).eps) / 2, like.dtype)


def _exponents(d: ExtendedFloats) -> Int[Array, "*B n"]:
    return jnp.where(d.mantissa == 0, ZERO_EXPONENT, d.exponent)


def _row_scales(d: ExtendedFloats) -> Int[Array, " n"]:
    """Return the exponents that ``ErrorSums.rows`` are relative to: for null directions, the largest of all scales."""
    return jnp.where(d.mantissa == 0, _exponents(d).max(), d.exponent)


def _scale_by_axis(matrix: Float[Array, "n n"], axis: int) -> tuple[Float[Array, "n n"], Int[Array, " n"]]:
    """Divide the rows (axis 1) or columns (axis 0) by powers of two; return the matrix and these powers' exponents."""
    largest = jnp.abs(matrix).max(axis=axis)
    _, exponents = jnp.frexp(largest)
    return times_power_of_two(matrix, -jnp.expand_dims(exponents, axis)), exponents


def _row_condition(product: GradedProduct) -> Float[Array, " n"]:
    """Return ``‖T̂_{≤k}⁻¹‖_F`` for each k, by which the errors of Jacobi's rotations are multiplied.

    ``T̂_{≤k}`` are the k rows of T with the largest scales, each normalised to length one.
    """
    order = extended_range.descending_order(product.d, jnp.ones_like(product.d.mantissa))
    rows = product.t[order]
    rows = rows / jnp.linalg.norm(rows, axis=1)[:, None]
    r = jnp.linalg.qr(rows.T, mode="r")
    inverse = jax.scipy.linalg.solve_triangular(r.T, jnp.eye(r.shape[0], dtype=r.dtype), lower=True)
    return jnp.sqrt(jnp.cumsum(jnp.square(inverse).sum(axis=1)))


def _errors_of_smaller(sums: ErrorSums, d: ExtendedFloats) -> Float[Array, " n"]:
    """Return the sum of the errors of all directions with smaller scales, in units of each direction's own scale."""
    order = extended_range.descending_order(d, jnp.ones_like(d.mantissa))
    a, exponents = sums.a[order][:, order], _exponents(d)[order]
    errors = jnp.triu(a).sum(axis=1) + jnp.tril(a, -1).sum(axis=0)
    later = jnp.tril(jnp.ones_like(a), -1).T
    return times_power_of_two(later * errors[None, :], exponents[None, :] - exponents[:, None]).sum(axis=1)
