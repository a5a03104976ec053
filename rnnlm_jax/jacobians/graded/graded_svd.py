"""Singular values of ``diag(d) · T``, with scales d of any size: QR steps, then one-sided Jacobi rotations.

A QR step multiplies the coupling of rows k < l by about ``(d_l / d_k)²``, so a few steps separate values that are far
apart. Jacobi rotations of the pairs of rows that are still coupled separate the others with quadratic convergence
(Demmel & Veselić 1992; Drmač & Veselić 2008 for QR before Jacobi). Both keep the relative accuracy of every value, at
any ratio to the largest.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.jacobians.arithmetic import extended_range
from rnnlm_jax.jacobians.arithmetic.extended_range import ExtendedFloats
from rnnlm_jax.jacobians.graded.graded_product import GradedProduct, graded_qr

#: QR steps end when only rows at most NEAR apart are coupled, at the latest after MOST_QR_STEPS.
NEAR, MOST_QR_STEPS = 8, 12
#: Largest number of Jacobi sweeps over the coupled pairs; 3 to 10 are needed in practice.
MOST_SWEEPS = 30


class GradedValues(NamedTuple):
    """Log singular values (nats, descending), and how far the iteration has converged."""

    log_values: Float[Array, " n"]
    residual: Float[Array, " n"]
    """Bound (nats) on the difference to the limit of the iteration."""


class _Rows(NamedTuple):
    """``diag(d) · f`` with rows of f of length one and scales in descending order."""

    f: Float[Array, "n n"]
    d: ExtendedFloats


def singular_values(product: GradedProduct) -> GradedValues:
    """Return ``ln σ_k(P)`` of a graded product, each with small relative error in ``σ_k``.

    At the end of the iteration ``P = U' diag(d) F V'`` with orthogonal U', V' and ``F Fᵀ = I + E``. By Ostrowski's
    theorem ``|ln σ_k - ln d_k| ≤ -½ ln(1 - ‖E‖)``. The residual of value k uses the rows 1 … k of E in place of all of
    E, since the smaller rows below change value k in second order only.
    """
    rows = _jacobi(_qr_steps(product))
    defects = jnp.sqrt(jnp.cumsum(jnp.square(_defect(rows)).sum(axis=1)))
    residual = jnp.where(defects < 1, -0.5 * jnp.log1p(-jnp.minimum(defects, 0.999)), jnp.inf)
    return GradedValues(extended_range.log(rows.d), residual)


def right_vectors(product: GradedProduct) -> tuple[Float[Array, "n n"], ExtendedFloats]:
    """Return V of ``diag(d) T = U Σ Vᵀ``, and Σ in descending order.

    The error of each vector depends on the relative gaps between the values. Two QR steps
    ``M' = Q₂ᵀ (Q₁ᵀ Mᵀ Π₁)ᵀ Π₂`` change V to ``V' = Π₂ᵀ Q₁ᵀ V``; U changes by an orthogonal factor that is not needed.
    """
    n = product.t.shape[0]

    def unfinished(carry: tuple[_Rows, Array, Array]) -> Array:
        rows, _, steps = carry
        return (steps == 0) | (steps < MOST_QR_STEPS) & (_reach(rows) > NEAR)

    def two_steps(carry: tuple[_Rows, Array, Array]) -> tuple[_Rows, Array, Array]:
        rows, rotation, steps = carry
        first = graded_qr(rows.f.T, rows.d)
        between = _unit_rows(first.f, first.d)
        second = graded_qr(between.f.T, between.d)
        return _sorted_unit_rows(second.f, second.d), (first.q.T @ rotation)[second.order], steps + 2

    start = (_Rows(product.t, product.d), jnp.eye(n, dtype=product.t.dtype), jnp.zeros((), jnp.int32))
    rows, rotation, _ = jax.lax.while_loop(unfinished, two_steps, start)
    rows = _jacobi(rows)
    return (rows.f @ rotation).T, rows.d


def _qr_steps(product: GradedProduct) -> _Rows:
    """Take QR decompositions of the transpose until only rows at most ``NEAR`` apart are coupled."""

    def unfinished(carry: tuple[_Rows, Array]) -> Array:
        rows, steps = carry
        return (steps < MOST_QR_STEPS) & (_reach(rows) > NEAR)

    def step(carry: tuple[_Rows, Array]) -> tuple[_Rows, Array]:
        rows, steps = carry
        qr = graded_qr(rows.f.T, rows.d)
        return _sorted_unit_rows(qr.f, qr.d), steps + 1

    start = step((_Rows(product.t, product.d), jnp.zeros((), jnp.int32)))
    return jax.lax.while_loop(unfinished, step, start)[0]


def _jacobi(rows: _Rows) -> _Rows:
    """Rotate the coupled pairs of rows, sweep after sweep, until no pair is coupled."""

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


def _sorted_unit_rows(f: Array, d: ExtendedFloats) -> _Rows:
    """Normalise the rows, multiply their lengths into the scales, and sort by scale, descending."""
    return _sorted(_unit_rows(f, d))


def _unit_rows(f: Array, d: ExtendedFloats) -> _Rows:
    lengths = jnp.linalg.norm(f, axis=1)
    return _Rows(f / jnp.where(lengths > 0, lengths, 1)[:, None], extended_range.times(d, lengths))


def _sorted(rows: _Rows) -> _Rows:
    order = extended_range.descending_order(rows.d, jnp.ones_like(rows.d.mantissa))
    return _Rows(rows.f[order], extended_range.take(rows.d, order))


def _defect(rows: _Rows) -> Array:
    """Return ``F Fᵀ - I``, with zeros for null directions, whose value is exactly zero."""
    live = rows.d.mantissa != 0  # NaN is not null
    defect = rows.f @ rows.f.T - jnp.eye(live.size, dtype=rows.f.dtype)
    return jnp.where(live[:, None] & live[None, :], defect, jnp.zeros((), rows.f.dtype))


def _reach(rows: _Rows) -> Int[Array, ""]:
    """Return the largest distance ``|k - l|`` of a pair of rows that are coupled by more than rounding errors."""
    n = rows.d.mantissa.size
    index = jnp.arange(n, dtype=jnp.int32)
    distance = jnp.abs(index[:, None] - index[None, :])
    coupled = jnp.abs(_defect(rows)) > n**0.5 * jnp.finfo(rows.f.dtype).eps
    return jnp.where(coupled, distance, 0).max()


def _rotate(rows: _Rows, distance: Array, parity: int) -> _Rows:
    """Rotate each pair of rows (i, i + distance) with ``i // distance`` even (parity 0) or odd (1) to orthogonality.

    Let p be the row with the larger scale, ``ρ = d_q / d_p ≤ 1`` and ``g = f_p · f_q``. The tangent of the rotation is
    ``ρ τ``, its cosine ``c = 1 / √(1 + ρ² τ²)``, and neither row needs ``1/ρ``:

        τ = 2 g / (1 - ρ² + √((1 - ρ²)² + 4 ρ² g²)),    f_p ← c (f_p + ρ² τ f_q),    f_q ← c (f_q - τ f_p).
    """
    f, d = rows
    index = jnp.arange(d.mantissa.size, dtype=jnp.int32)
    first = (index // distance) % 2 == parity
    partner = jnp.where(first, index + distance, index - distance)
    paired = (partner >= 0) & (partner < index.size)
    partner = jnp.where(paired, partner, index)
    other, other_d = f[partner], extended_range.take(d, partner)

    rho = extended_range.ratio(other_d, d)
    larger = (rho < 1) | ((rho == 1) & first)
    paired &= (d.mantissa > 0) & (other_d.mantissa > 0)
    rho = jnp.where(larger, rho, extended_range.ratio(d, other_d))
    g = (f * other).sum(axis=1)
    gap = (1 - rho) * (1 + rho)
    denominator = gap + jnp.sqrt(gap * gap + 4 * rho * rho * g * g)
    safe_denominator = jnp.where(denominator > 0, denominator, 1)
    tau = jnp.where(paired & (denominator > 0), 2 * g / safe_denominator, jnp.zeros((), f.dtype))
    cosine = jax.lax.rsqrt(1 + jnp.square(rho * tau))
    share = jnp.where(larger, rho * rho * tau, -tau)
    rotated = cosine[:, None] * (f + share[:, None] * other)
    lengths = jnp.linalg.norm(rotated, axis=1)
    lengths = jnp.where(paired, lengths, jnp.ones((), f.dtype))
    rotated = jnp.where(paired[:, None], rotated / jnp.where(lengths > 0, lengths, 1)[:, None], f)
    return _Rows(rotated, extended_range.times(d, lengths))
