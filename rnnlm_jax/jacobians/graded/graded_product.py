"""Long products of matrices as ``Q · diag(d) · T``, in which small singular values keep their relative accuracy.

A plain product loses every singular value below ε times the largest. A QR recursion gives the diagonal of R, whose
entries are not singular values at a finite lag. Here the scales d are numbers of any size, Q is orthogonal, and T stays
well conditioned at any spread of d. This is the UDT decomposition of determinant quantum Monte Carlo (Loh et al. 1989;
Bai et al. 2011).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.jacobians.arithmetic import extended_range
from rnnlm_jax.jacobians.arithmetic.extended_range import ExtendedFloats


class GradedProduct(NamedTuple):
    """``P = q · diag(d) · t``; a direction that ``P`` maps to zero has scale zero."""

    q: Float[Array, "n n"]
    d: ExtendedFloats
    t: Float[Array, "n n"]


class GradedQR(NamedTuple):
    """``A diag(d) Π = q · diag(d') · f``: q orthogonal, f unit upper triangular, ``order`` the permutation Π."""

    q: Float[Array, "n n"]
    d: ExtendedFloats
    f: Float[Array, "n n"]
    order: Int[Array, " n"]
    r: Float[Array, "n n"]
    """``A Π = q · r`` up to rounding errors; rows of null directions are set to zero."""
    r_before_zeroing: Float[Array, "n n"]
    """The same, with the rows of null directions as computed."""


def identity(n: int, dtype: DTypeLike) -> GradedProduct:
    """Return the empty product."""
    return GradedProduct(jnp.eye(n, dtype=dtype), extended_range.ones((n,), dtype), jnp.eye(n, dtype=dtype))


def multiply(j: Float[Array, "n n"], product: GradedProduct) -> tuple[GradedProduct, GradedQR]:
    """Return ``J · P`` and the graded QR it is made from.

    With ``J Q diag(d) Π = Q' diag(d') F``, the product is ``J P = Q' · diag(d') · (F Πᵀ T)``.
    """
    qr = graded_qr(j @ product.q, product.d)
    return GradedProduct(qr.q, qr.d, qr.f @ product.t[qr.order]), qr


def graded_qr(a: Float[Array, "n n"], d: ExtendedFloats) -> GradedQR:
    """Return the QR decomposition of ``A diag(d)``, with columns sorted by ``‖a_k‖ d_k``, descending.

        A Π = Q R,    d'_k = |r_kk| d_k,    F_kl = (r_kl / r_kk) (d_l / d_k)

    The scales are never multiplied into the matrix. Rows are sorted by size, too: then the error of Householder's
    method is small relative to each row, not only to the whole matrix (Cox & Higham 1998), and zero rows give an
    ``r_kk`` that is exactly zero. An ``r_kk`` below the rounding error of its row is taken for the zero of a singular
    matrix, and its direction gets the scale zero.
    """
    order = extended_range.descending_order(d, _column_sizes(a))
    qr = _sorted_row_qr(a[:, order], extended_range.take(d, order))
    order, qr = jax.lax.cond(qr.null.any(), lambda at: _exchange_all(a, d, *at), lambda at: at, (order, qr))
    q, r, null = qr.q, qr.r, qr.null
    d, one, zero = extended_range.take(d, order), jnp.ones((), a.dtype), jnp.zeros((), a.dtype)
    pivots = jnp.where(null, one, jnp.diagonal(r))
    live = extended_range.times(d, jnp.where(null, zero, one))
    rows, columns = extended_range.take(live, (slice(None), None)), extended_range.take(d, (None, slice(None)))
    f = jnp.triu(extended_range.ratio(columns, rows, r / pivots[:, None]), 1) + jnp.eye(r.shape[0], dtype=a.dtype)
    signs = jnp.sign(pivots)
    r_before_zeroing = jnp.triu(r) * signs[:, None]
    r = jnp.where(null[:, None], zero, r_before_zeroing)
    return GradedQR(
        q * signs[None, :],
        extended_range.times(live, jnp.abs(pivots)),
        f,
        order,
        r=r,
        r_before_zeroing=r_before_zeroing,
    )


class _SortedRowQR(NamedTuple):
    """Q and R of a matrix whose columns have scales; ``null`` marks the pivots that are zeros of a singular matrix."""

    q: Float[Array, "n n"]
    r: Float[Array, "n n"]
    scales: ExtendedFloats
    null: Bool[Array, " n"]
    rounding: Float[Array, " n"]
    """Rounding error of each row of R."""


def _sorted_row_qr(a: Float[Array, "n n"], d: ExtendedFloats) -> _SortedRowQR:
    """Return the QR decomposition computed with the rows sorted by size, descending."""
    sizes = jnp.abs(a).max(axis=1)
    rows = jnp.argsort(-sizes)
    q, r = jnp.linalg.qr(a[rows])
    rounding = 2 * sizes.size**0.5 * jnp.finfo(a.dtype).eps * sizes[rows]
    null = (jnp.abs(jnp.diagonal(r)) <= rounding) | (d.mantissa == 0)
    return _SortedRowQR(jnp.zeros_like(q).at[rows].set(q), r, d, null, rounding)


def _misplaced(qr: _SortedRowQR) -> Bool[Array, "n n"]:
    """Mark the nonzero entries of R to the right of a null pivot: one of their columns must take the pivot's place.

    A column that depends on the ones before it has a null pivot, and F cannot be formed by dividing its row of R by the
    pivot, while the columns after it may have nonzero entries in that row.
    """
    live = (jnp.abs(qr.r) > qr.rounding[:, None]) & (qr.scales.mantissa != 0)[None, :]
    return jnp.triu(live, 1) & qr.null[:, None]


def _exchange_all(
    a: Float[Array, "n n"], d: ExtendedFloats, order: Int[Array, " n"], qr: _SortedRowQR
) -> tuple[Int[Array, " n"], _SortedRowQR]:
    """Exchange columns until no entry is misplaced; return their order and the QR decomposition."""
    return jax.lax.while_loop(lambda at: _misplaced(at[1]).any(), lambda at: _exchange_one(a, d, *at), (order, qr))


def _exchange_one(
    a: Float[Array, "n n"], d: ExtendedFloats, order: Int[Array, " n"], qr: _SortedRowQR
) -> tuple[Int[Array, " n"], _SortedRowQR]:
    """Move the largest misplaced column of the first row that has one to its pivot's position, and decompose again."""
    misplaced, positions = _misplaced(qr), jnp.arange(order.size, dtype=jnp.int32)
    row = jnp.where(misplaced.any(axis=1), positions, positions[-1]).min()
    entries = jnp.where(misplaced[row], jnp.abs(qr.r[row]), jnp.zeros((), a.dtype))
    column = extended_range.descending_order(qr.scales, entries)[0].astype(jnp.int32)
    order = order[jnp.argsort(jnp.where(positions == column, 2 * row - 1, 2 * positions))]
    return order, _sorted_row_qr(a[:, order], extended_range.take(d, order))


def _column_sizes(a: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Return ``‖a_k‖₂`` of each column; its largest entry where the squares underflow."""
    return jnp.maximum(jnp.linalg.norm(a, axis=0), jnp.abs(a).max(axis=0))
