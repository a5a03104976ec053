"""Singular values of ``diag(d) · T``: steps of QR, then one-sided Jacobi, with scales d of any size.

QR separates what is far apart, at a rate ``(d_l / d_k)²`` a step; Jacobi's rotations separate what is close,
quadratically, and only those pairs of rows are rotated that QR has left coupled (Demmel & Veselić 1992; Drmač & Veselić
2008 for QR before Jacobi). Both keep the relative accuracy of every value, however small beside the largest.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.jacobians import scales
from rnnlm_jax.jacobians.graded import GradedProduct, graded_qr
from rnnlm_jax.jacobians.scales import Scales

#: QR goes on until only rows this close to each other are coupled, but not for more steps than MOST_QR_STEPS.
NEAR, MOST_QR_STEPS = 8, 12
#: The most sweeps of Jacobi over all coupled pairs: it needs 3 to 10.
MOST_SWEEPS = 30


class GradedValues(NamedTuple):
    """Log singular values (nats, descending)."""

    log_values: Float[Array, " n"]
    residual: Float[Array, " n"]
    """Bound (nats) on what the iteration has left undone."""


class _Rows(NamedTuple):
    """``diag(d) · f``, the rows of f of length one, the largest scale first."""

    f: Float[Array, "n n"]
    d: Scales


def singular_values(product: GradedProduct) -> GradedValues:
    """``log σ_k(P)`` of a graded product, to the last digits.

    At the end P is, but for orthogonal factors, ``diag(d) F`` with ``F Fᵀ = I + E``. By Ostrowski's theorem no ``log
    σ_k`` is then further from ``log d_k`` than ``-½ log(1 - ‖E‖)``; the residual of value k is that of the rows down
    to k, ``‖E_{≤k}‖`` in place of ``‖E‖``, which what is below only touches in second order.
    """
    rows = _jacobi(_qr_steps(product))
    defects = jnp.sqrt(jnp.cumsum(jnp.square(_defect(rows)).sum(axis=1)))
    residual = jnp.where(defects < 1, -0.5 * jnp.log1p(-jnp.minimum(defects, 0.999)), jnp.inf)
    return GradedValues(scales.log(rows.d), residual)


def right_vectors(product: GradedProduct) -> tuple[Float[Array, "n n"], Scales]:
    """V of ``diag(d) T = U Σ Vᵀ``, and Σ, descending: right to the gaps between the values, relative to the values.

    Two steps of QR, ``M' = Q₂ᵀ (Q₁ᵀ Mᵀ Π₁)ᵀ Π₂``, leave V as it is but for ``V' = Π₂ᵀ Q₁ᵀ V``.
    """
    n = product.t.shape[0]

    def unfinished(carry: tuple[_Rows, Array, Array]) -> Array:
        rows, _, steps = carry
        return (steps == 0) | (steps < MOST_QR_STEPS) & (_reach(rows) > NEAR)

    def two_steps(carry: tuple[_Rows, Array, Array]) -> tuple[_Rows, Array, Array]:
        rows, turned, steps = carry
        first = graded_qr(rows.f.T, rows.d)
        between = _unit_rows(first.f, first.d)
        second = graded_qr(between.f.T, between.d)
        return _normalised(second.f, second.d), (first.q.T @ turned)[second.order], steps + 2

    start = (_Rows(product.t, product.d), jnp.eye(n, dtype=product.t.dtype), jnp.zeros((), jnp.int32))
    rows, turned, _ = jax.lax.while_loop(unfinished, two_steps, start)
    rows = _jacobi(rows)
    return (rows.f @ turned).T, rows.d


def _qr_steps(product: GradedProduct) -> _Rows:
    """QR of the transpose, again and again, until only neighbours are coupled."""

    def unfinished(carry: tuple[_Rows, Array]) -> Array:
        rows, steps = carry
        return (steps < MOST_QR_STEPS) & (_reach(rows) > NEAR)

    def step(carry: tuple[_Rows, Array]) -> tuple[_Rows, Array]:
        rows, steps = carry
        done = graded_qr(rows.f.T, rows.d)
        return _normalised(done.f, done.d), steps + 1

    start = step((_Rows(product.t, product.d), jnp.zeros((), jnp.int32)))
    return jax.lax.while_loop(unfinished, step, start)[0]


def _jacobi(rows: _Rows) -> _Rows:
    """Sweeps of rotations over the pairs that are coupled, until none is."""

    def unfinished(carry: tuple[_Rows, Array, Array]) -> Array:
        _, reach, sweeps = carry
        return (reach > 0) & (sweeps < MOST_SWEEPS)

    def sweep(carry: tuple[_Rows, Array, Array]) -> tuple[_Rows, Array, Array]:
        rows, reach, sweeps = carry

        def at_distance(k: Array, rows: _Rows) -> _Rows:
            return _rotate(_rotate(rows, k, 0), k, 1)

        rows = _sorted(jax.lax.fori_loop(1, reach + 1, at_distance, rows))
        return rows, _reach(rows), sweeps + 1

    return jax.lax.while_loop(unfinished, sweep, (rows, _reach(rows), jnp.zeros((), jnp.int32)))[0]


def _normalised(f: Array, d: Scales) -> _Rows:
    """Rows made of length one, their lengths moved into the scales, the largest first."""
    return _sorted(_unit_rows(f, d))


def _unit_rows(f: Array, d: Scales) -> _Rows:
    lengths = jnp.linalg.norm(f, axis=1)
    return _Rows(f / jnp.where(lengths > 0, lengths, 1)[:, None], scales.times(d, lengths))


def _sorted(rows: _Rows) -> _Rows:
    order = scales.order(rows.d, jnp.ones_like(rows.d.mantissa))
    return _Rows(rows.f[order], scales.take(rows.d, order))


def _defect(rows: _Rows) -> Array:
    """``F Fᵀ - I`` where both rows matter: null directions have no value to be wrong."""
    live = rows.d.mantissa != 0  # NaN is not null
    defect = rows.f @ rows.f.T - jnp.eye(live.size, dtype=rows.f.dtype)
    return jnp.where(live[:, None] & live[None, :], defect, jnp.zeros((), rows.f.dtype))


def _reach(rows: _Rows) -> Int[Array, ""]:
    """The distance of the farthest pair of rows that is coupled, beyond what rounding leaves."""
    n = rows.d.mantissa.size
    index = jnp.arange(n, dtype=jnp.int32)
    distance = jnp.abs(index[:, None] - index[None, :])
    coupled = jnp.abs(_defect(rows)) > n**0.5 * jnp.finfo(rows.f.dtype).eps
    return jnp.where(coupled, distance, 0).max()


def _rotate(rows: _Rows, distance: Array, parity: int) -> _Rows:
    """Rotate each pair of rows (i, i + distance) with ``i // distance`` even (parity 0) or odd (1) to orthogonality.

    With ``ρ = d_q / d_p ≤ 1`` and ``g = f_p · f_q``, the tangent is ``ρ τ`` with
    ``τ = 2 g / (1 - ρ² + √((1 - ρ²)² + 4 ρ² g²))``: both rows are updated without forming ``1/ρ``,

        f_p ← c (f_p + ρ² τ f_q),    f_q ← c (f_q - τ f_p).
    """
    f, d = rows
    index = jnp.arange(d.mantissa.size, dtype=jnp.int32)
    first = (index // distance) % 2 == parity
    partner = jnp.where(first, index + distance, index - distance)
    paired = (partner >= 0) & (partner < index.size)
    partner = jnp.where(paired, partner, index)
    other, other_d = f[partner], scales.take(d, partner)

    rho = scales.ratio(other_d, d)
    larger = (rho < 1) | ((rho == 1) & first)
    paired &= (d.mantissa > 0) & (other_d.mantissa > 0)
    rho = jnp.where(larger, rho, scales.ratio(d, other_d))
    g = (f * other).sum(axis=1)
    gap = (1 - rho) * (1 + rho)
    below = gap + jnp.sqrt(gap * gap + 4 * rho * rho * g * g)
    tau = jnp.where(paired & (below > 0), 2 * g / jnp.where(below > 0, below, 1), jnp.zeros((), f.dtype))
    cosine = jax.lax.rsqrt(1 + jnp.square(rho * tau))
    share = jnp.where(larger, rho * rho * tau, -tau)
    turned = cosine[:, None] * (f + share[:, None] * other)
    lengths = jnp.linalg.norm(turned, axis=1)
    lengths = jnp.where(paired, lengths, jnp.ones((), f.dtype))
    turned = jnp.where(paired[:, None], turned / jnp.where(lengths > 0, lengths, 1)[:, None], f)
    return _Rows(turned, scales.times(d, lengths))
