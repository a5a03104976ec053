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


def identity(n: int, dtype: Any) -> GradedProduct:
    """The empty product."""
    return GradedProduct(jnp.eye(n, dtype=dtype), scales.ones((n,), dtype), jnp.eye(n, dtype=dtype))


def multiply(j: Float[Array, "n n"], product: GradedProduct) -> GradedProduct:
    """``J · P``, by the graded QR of ``J Q`` with the scales d: ``P' = Q' · diag(d') · (F Πᵀ T)``."""
    q, d, f, order = graded_qr(j @ product.q, product.d)
    return GradedProduct(q, d, f @ product.t[order])


def graded_qr(a: Float[Array, "n n"], d: Scales) -> GradedQR:
    """QR of ``A diag(d)`` with its columns sorted by ``‖a_k‖ d_k``, no scale ever multiplied out.

        A Π = Q R,    d'_k = |r_kk| d_k,    F_kl = (r_kl / r_kk) (d_l / d_k)

    Rows are taken in the order of their size too: then Householder's error is small in each row, not only in the
    whole (Cox & Higham 1998), and rows that are zero give an ``r_kk`` that is zero. An ``r_kk`` below the rounding
    error of its row is the zero of an exactly singular matrix: its direction gets the scale zero.
    """
    order = scales.order(d, jnp.linalg.norm(a, axis=0))
    q, r, null = _row_wise_qr(a[:, order], scales.take(d, order))

    # A column that depends on those before it leaves nothing to divide its row of R by, while columns behind it may
    # still need that row. Put last, it comes to nothing there, and the rows before it are all pivots.
    last = jnp.argsort(null, stable=True)
    moved = (last != jnp.arange(null.size)).any()
    order = order[last]
    again = lambda: _row_wise_qr(a[:, order], scales.take(d, order))  # noqa: E731
    q, r, null = jax.lax.cond(moved, again, lambda: (q, r, null))

    d, one = scales.take(d, order), jnp.ones((), a.dtype)
    pivots = jnp.where(null, one, jnp.diagonal(r))
    live = scales.times(d, jnp.where(null, jnp.zeros((), a.dtype), one))
    rows, columns = scales.take(live, (slice(None), None)), scales.take(d, (None, slice(None)))
    f = jnp.triu(scales.ratio(columns, rows, r / pivots[:, None]), 1) + jnp.eye(r.shape[0], dtype=a.dtype)
    return GradedQR(q * jnp.sign(pivots), scales.times(live, jnp.abs(pivots)), f, order)


def _row_wise_qr(a: Float[Array, "n n"], d: Scales) -> tuple[Array, Array, Bool[Array, " n"]]:
    """Q and R of A, its rows taken by size, and which pivots are zeros of a singular matrix."""
    sizes = jnp.abs(a).max(axis=1)
    rows = jnp.argsort(-sizes)
    q, r = jnp.linalg.qr(a[rows])
    rounding = 2 * sizes.size**0.5 * jnp.finfo(a.dtype).eps * sizes[rows]
    null = (jnp.abs(jnp.diagonal(r)) <= rounding) | (d.mantissa == 0)
    return jnp.zeros_like(q).at[rows].set(q), r, null
