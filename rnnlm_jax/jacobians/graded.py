"""A long product of matrices kept as Q · diag(d) · T: nothing overflows, and small singular values survive.

A plain product loses every singular value below ε times the largest, and a QR recursion gives the diagonal of R, which
is no singular value at a finite lag. Here the scales d are numbers of any size, Q stays orthogonal and T well
conditioned, whatever the spread: the UDT decomposition of determinant quantum Monte Carlo (Loh et al. 1989; Bai et al.
2011).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.jacobians import scales
from rnnlm_jax.jacobians.scales import Scales


class GradedProduct(NamedTuple):
    """``P = q · diag(d) · t``; the scale of a direction that ``P`` maps to zero is zero."""

    q: Float[Array, "n n"]
    d: Scales
    t: Float[Array, "n n"]


class GradedQR(NamedTuple):
    """``A diag(d) Π = q · diag(d') · f``: Q orthogonal, F unit upper triangular, ``order`` the sort Π."""

    q: Float[Array, "n n"]
    d: Scales
    f: Float[Array, "n n"]
    order: Int[Array, " n"]
    r: Float[Array, "n n"]
    """``A Π = q · r``, but for rounding errors; rows of null directions are zero."""
    whole_r: Float[Array, "n n"]
    """The same with these rows as they were found."""


def identity(n: int, dtype: Any) -> GradedProduct:
    """The empty product."""
    return GradedProduct(jnp.eye(n, dtype=dtype), scales.ones((n,), dtype), jnp.eye(n, dtype=dtype))


def multiply(j: Float[Array, "n n"], product: GradedProduct) -> tuple[GradedProduct, GradedQR]:
    """``J · P``, by the graded QR of ``J Q`` with the scales d: ``P' = Q' · diag(d') · (F Πᵀ T)``; and this QR."""
    done = graded_qr(j @ product.q, product.d)
    return GradedProduct(done.q, done.d, done.f @ product.t[done.order]), done


def graded_qr(a: Float[Array, "n n"], d: Scales) -> GradedQR:
    """QR of ``A diag(d)`` with its columns sorted by ``‖a_k‖ d_k``, no scale ever multiplied out.

        A Π = Q R,    d'_k = |r_kk| d_k,    F_kl = (r_kl / r_kk) (d_l / d_k)

    Rows are taken in the order of their size too: then Householder's error is small in each row, not only in the
    whole (Cox & Higham 1998), and rows that are zero give an ``r_kk`` that is zero. An ``r_kk`` below the rounding
    error of its row is the zero of an exactly singular matrix: its direction gets the scale zero.
    """
    order = scales.order(d, _sizes(a))
    found = _row_wise_qr(a[:, order], scales.take(d, order))
    order, found = jax.lax.cond(found.null.any(), lambda at: _all_exchanged(a, d, *at), lambda at: at, (order, found))
    q, r, null = found.q, found.r, found.null
    d, one, zero = scales.take(d, order), jnp.ones((), a.dtype), jnp.zeros((), a.dtype)
    pivots = jnp.where(null, one, jnp.diagonal(r))
    live = scales.times(d, jnp.where(null, zero, one))
    rows, columns = scales.take(live, (slice(None), None)), scales.take(d, (None, slice(None)))
    f = jnp.triu(scales.ratio(columns, rows, r / pivots[:, None]), 1) + jnp.eye(r.shape[0], dtype=a.dtype)
    signs = jnp.sign(pivots)
    whole = jnp.triu(r) * signs[:, None]
    r = jnp.where(null[:, None], zero, whole)
    return GradedQR(q * signs[None, :], scales.times(live, jnp.abs(pivots)), f, order, r, whole)


class _RowWiseQR(NamedTuple):
    """Q and R of ``A``, whose columns have scales; ``null`` are the pivots that are zeros of a singular matrix."""

    q: Float[Array, "n n"]
    r: Float[Array, "n n"]
    scales: Scales
    null: Bool[Array, " n"]
    rounding: Float[Array, " n"]
    """The rounding error of each row of R."""


def _row_wise_qr(a: Float[Array, "n n"], d: Scales) -> _RowWiseQR:
    """QR with the rows taken by size."""
    sizes = jnp.abs(a).max(axis=1)
    rows = jnp.argsort(-sizes)
    q, r = jnp.linalg.qr(a[rows])
    rounding = 2 * sizes.size**0.5 * jnp.finfo(a.dtype).eps * sizes[rows]
    null = (jnp.abs(jnp.diagonal(r)) <= rounding) | (d.mantissa == 0)
    return _RowWiseQR(jnp.zeros_like(q).at[rows].set(q), r, d, null, rounding)


def _misplaced(found: _RowWiseQR) -> Bool[Array, "n n"]:
    """Entries beside a null pivot that are not zero: their columns belong in its place.

    A column that depends on those before it leaves nothing to divide its row of R by, while columns behind it may still
    need that row.
    """
    live = (jnp.abs(found.r) > found.rounding[:, None]) & (found.scales.mantissa != 0)[None, :]
    return jnp.triu(live, 1) & found.null[:, None]


def _all_exchanged(
    a: Float[Array, "n n"], d: Scales, order: Int[Array, " n"], found: _RowWiseQR
) -> tuple[Int[Array, " n"], _RowWiseQR]:
    """QR with the columns in an order that leaves no entry misplaced."""
    return jax.lax.while_loop(lambda at: _misplaced(at[1]).any(), lambda at: _exchanged(a, d, *at), (order, found))


def _exchanged(
    a: Float[Array, "n n"], d: Scales, order: Int[Array, " n"], found: _RowWiseQR
) -> tuple[Int[Array, " n"], _RowWiseQR]:
    """QR again, with the largest misplaced column of the first such row moved to the pivot's place."""
    misplaced, places = _misplaced(found), jnp.arange(order.size, dtype=jnp.int32)
    row = jnp.where(misplaced.any(axis=1), places, places[-1]).min()
    entries = jnp.where(misplaced[row], jnp.abs(found.r[row]), jnp.zeros((), a.dtype))
    column = scales.order(found.scales, entries)[0].astype(jnp.int32)
    order = order[jnp.argsort(jnp.where(places == column, 2 * row - 1, 2 * places))]
    return order, _row_wise_qr(a[:, order], scales.take(d, order))


def _sizes(a: Float[Array, "n n"]) -> Float[Array, " n"]:
    """``‖a_k‖``; the largest entry where the squares underflow."""
    return jnp.maximum(jnp.linalg.norm(a, axis=0), jnp.abs(a).max(axis=0))
