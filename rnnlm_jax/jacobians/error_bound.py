"""Bounds on the errors of the log singular values of a product, to first order in every step's rounding errors.

A product is computed by steps ``J_t Q_{t-1} = Q_t R_t + E_t``, so that its factors are not those given but
``J_t - E_t Q_{t-1}ᵀ``. Of ``P = Q_T R_T ⋯ R_1`` the errors change ``R_T ⋯ R_1 = D T`` by the factor ``I + A``,

    A = Σ_t W_t Q_tᵀ E_t Y_{t-1},    W_t = R_T ⋯ R_{t+1},    Y_{t-1} = (R_T ⋯ R_t)⁻¹,

two recurrences back through time that are triangular and start from the identity. ``|E_t|`` is measured, entry by
entry, and the products with W and Y are formed with their signs before absolute values are taken: a product whose
factors have a cancelling history (a Jordan block, a delay line) has large W and Y in opposite directions, which no
residual of the last step shows. With ``D T = U Σ Vᵀ`` the error of ``log σ_i`` is ``(Uᵀ A U)_ii``.

A direction whose ``r_kk`` is no more than rounding error is dropped, as the zero of a singular matrix. What it held is
bounded in absolute terms, by the scales and rows of the product before it, and followed by W like the errors of T.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.jacobians import scales
from rnnlm_jax.jacobians.graded import GradedProduct, GradedQR
from rnnlm_jax.jacobians.graded_svd import GradedValues
from rnnlm_jax.jacobians.power_of_two import PowerOfTwo, times_power_of_two
from rnnlm_jax.jacobians.scales import Scales

#: The first-order bound, multiplied by this, stands for the higher orders too, as long as it is below LARGEST (nats).
SAFETY, LARGEST = 2.0, 0.1

#: What all smaller directions may be uncertain by, as a part of a value that is certain.
SWAMPED = 0.1

#: The exponent that stands for a scale of zero: far below any other.
NOTHING = -(1 << 26)


class Step(NamedTuple):
    """What one step of a graded product leaves for the bound."""

    j: Float[Array, "n n"]
    """The factor, divided by ``2**exponent``."""
    exponent: Int[Array, ""]
    a: Float[Array, "n n"]
    """``J Q`` of the Q before."""
    q: Float[Array, "n n"]
    r: Float[Array, "n n"]
    """Rows of null directions are as they were found."""
    null: Bool[Array, " n"]
    places: Int[Array, " n"]
    """Where each column of ``J Q`` stands in R."""
    growth: Float[Array, " n"]
    """Bound on the rounding errors of the rows of T; of null directions, on the rows that are dropped."""
    lost: Float[Array, ""]
    """Bound on what the entries of the factor have lost to underflow."""
    d: Scales
    """Of the rows; of null directions, that of ``growth``."""


class Records(NamedTuple):
    """Steps one after the other, ready for the sums; the columns of R stand where those of J Q stand."""

    q: Float[Array, "C n n"]
    r: Float[Array, "C n n"]
    inverse: Float[Array, "C n n"]
    """Of R, whose null directions count as ones."""
    error: Float[Array, "C n n"]
    """Bound on ``|J Q - Q' R|`` in exact arithmetic."""
    growth: Float[Array, "C n"]
    exponent: Int[Array, " C"]
    d: Scales


class Sums(NamedTuple):
    """The recurrences under way: each row of W and column of Y with a power of two of its own."""

    w: Float[Array, "n n"]
    w_exponent: Int[Array, " n"]
    y: Float[Array, "n n"]
    y_exponent: Int[Array, " n"]
    a: Float[Array, "n n"]
    """``|A_kl|``, times ``d_l / d_k`` where that is below one."""
    rows: Float[Array, " n"]
    """Errors of the rows of T, where a null direction at the end has the largest of all scales."""


def recorded(scaled: PowerOfTwo, before: GradedProduct, done: GradedQR, d: Scales, lost: Float[Array, ""]) -> Step:
    """The record of one step.

    Args:
        scaled: the factor.
        before: the product before it.
        done: the QR decomposition of this step.
        d: the scales of the product with it.
        lost: bound on what the entries of the scaled factor have lost to underflow.
    """
    lengths = jnp.linalg.norm(before.t, axis=1)[done.order]
    null = jnp.diagonal(done.r) == 0

    def with_dropped(growth: Array, d: Scales) -> tuple[Array, Scales]:
        held = scales.times(scales.take(before.d, done.order), lengths)
        top = jax.lax.cummax(_exponents(held), reverse=True)
        shares = times_power_of_two(jnp.abs(done.whole_r) * held.mantissa[None], _exponents(held)[None] - top[:, None])
        one, exponents = jnp.ones((), growth.dtype), jnp.where(null, top + scaled.exponent, d.exponent)
        return jnp.where(null, shares.sum(axis=1), growth), Scales(jnp.where(null, one, d.mantissa), exponents)

    growth = _gamma(before.t) * (jnp.abs(done.f) @ lengths)
    growth, rows = jax.lax.cond(null.any(), with_dropped, lambda growth, d: (growth, d), growth, d)
    places = jnp.zeros_like(done.order).at[done.order].set(jnp.arange(done.order.size, dtype=done.order.dtype))
    a = scaled.matrix @ before.q  # as it was decomposed: compilers see that it is the same product
    return Step(scaled.matrix, scaled.exponent, a, done.q, done.whole_r, null, places, growth, lost, rows)


def records(steps: Step, first: Float[Array, "n n"]) -> Records:
    """The records of steps ``[C, ...]``, all at once; ``first`` is Q before them."""
    q = steps.q
    n, about = q.shape[-1], jnp.finfo(q.dtype)
    kept = jnp.where(steps.null[:, :, None], 0, steps.r)
    eye = jnp.eye(n, dtype=q.dtype)[None]
    inverse = jax.scipy.linalg.solve_triangular(
        kept + jnp.where(steps.null[:, :, None], eye, 0), jnp.broadcast_to(eye, q.shape)
    )
    r = jax.vmap(lambda matrix, places: matrix[:, places])(steps.r, steps.places)
    inverse = jax.vmap(lambda matrix, places: matrix[places])(inverse, steps.places)
    before = jnp.concatenate([first[None], q[:-1]])
    magnitude = jnp.abs(steps.j) @ jnp.abs(before) + jnp.abs(q) @ jnp.abs(r)
    error = jnp.abs(steps.a - q @ r) + _gamma(q) * magnitude
    error = error + (n * about.tiny + n**0.5 * steps.lost[:, None, None])
    return Records(q, r, inverse, error, steps.growth, steps.exponent, steps.d)


def start(n: int, dtype: np.dtype) -> Sums:
    """The sums of no steps."""
    eye, zeros = jnp.eye(n, dtype=dtype), jnp.zeros(n, jnp.int32)
    return Sums(eye, zeros, eye, zeros, jnp.zeros((n, n), dtype), jnp.zeros(n, dtype))


def earlier(found: Records, count: Int[Array, ""], sums: Sums, end: Scales) -> Sums:
    """The sums with steps more, those before the ones so far.

    Args:
        found: their records, of which only the first ``count`` are taken.
        count: how many.
        sums: of all later steps.
        end: the scales d of the whole product.
    """
    steps, n, _ = found.q.shape
    counts = jnp.arange(steps, dtype=jnp.int32) < count
    eye = jnp.eye(n, dtype=found.q.dtype)[None]
    r, inverse = (jnp.where(counts[:, None, None], part, eye) for part in (found.r, found.inverse))
    exponents = jnp.where(counts, found.exponent, 0)

    def back(carry: tuple[Array, ...], step: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        w, w_exponent, y, y_exponent = carry
        r, inverse, exponent = step
        before, w_shift = _scaled(w @ r, axis=1)
        solved, y_shift = _scaled(inverse @ y, axis=0)
        y_exponent = y_exponent + y_shift
        return (before, w_exponent + exponent + w_shift, solved, y_exponent - exponent), (
            w,
            w_exponent,
            solved,
            y_exponent,
        )

    carry, (w, w_exponent, y, y_exponent) = jax.lax.scan(back, sums[:4], (r, inverse, exponents), reverse=True)
    last = _exponents(end)
    shrink = jnp.minimum(last[None, :] - last[:, None], 0)
    term = jnp.abs(w @ found.q.mT) @ (jnp.where(counts[:, None, None], found.error, 0) @ jnp.abs(y))
    a = times_power_of_two(term, w_exponent[:, :, None] + y_exponent[:, None, :] + shrink[None]).sum(axis=0)
    powers = w_exponent[:, :, None] + _exponents(found.d)[:, None, :] - _row_scales(end)[None, :, None]
    shares = times_power_of_two(jnp.abs(w) * found.d.mantissa[:, None, :], powers)
    rows = (shares * jnp.where(counts[:, None], found.growth, 0)[:, None, :]).sum(axis=(0, 2))
    return Sums(carry[0], carry[1], carry[2], carry[3], sums.a + a, sums.rows + rows)


def bound(sums: Sums, product: GradedProduct, found: GradedValues) -> Float[Array, " n"]:
    """Bounds (nats) on the errors of the log singular values of a product; inf where nothing can be said.

    No singular vector is needed: ``D T = U Σ Vᵀ`` says that ``|U_ki|`` is at most 1, ``‖T_k‖ d_k / σ_i`` and
    ``‖(T⁻¹)_k‖ σ_i / d_k``.
    """
    d, t = product.d, product.t
    n, eps = t.shape[0], float(jnp.finfo(t.dtype).eps)
    logs, last, live = found.log_values, _exponents(d), d.mantissa != 0
    lengths = jnp.linalg.norm(t, axis=1)
    inverse = jnp.linalg.norm(jnp.linalg.inv(t), axis=0)
    scale = jnp.where(live, last, 0).astype(t.dtype) * jnp.asarray(np.log(2), t.dtype)
    apart = scale[:, None] - logs[None, :]  # log d_k / σ_i
    limits = jnp.minimum(jnp.log(lengths)[:, None] + apart, jnp.log(2 * inverse)[:, None] - apart)
    limits = jnp.where(live[:, None], jnp.minimum(limits, 0), -jnp.inf)
    alike = limits == 0

    def size(factor: Array | float) -> Array:
        return jnp.where(live[:, None], jnp.exp(limits + factor), 0)

    same, larger, smaller = size(0.0), size(apart), size(-apart)
    below = last[None, :] >= last[:, None]
    parts = [(jnp.where(below, sums.a, 0), same, same), (jnp.where(below, 0, sums.a), larger, smaller)]
    entries = sum((left * (a @ right)).sum(axis=0) for a, left, right in parts)
    squares = sum((left**2 * (a**2 @ right**2)).sum(axis=0) for a, left, right in parts)
    others = (~alike & live[:, None]).sum(axis=0).astype(t.dtype)
    norms = (1 + others) * jnp.sqrt(2 * squares)
    top = last.max().astype(t.dtype) * jnp.asarray(np.log(2), t.dtype)
    lost = jnp.where(live, 0, sums.rows).sum()
    dropped = jnp.where(lost == 0, 0, lost * jnp.exp(top - logs))
    rows = jnp.where(live, sums.rows, 0)
    through_steps = jnp.minimum(entries, norms) + (larger * rows[:, None]).sum(axis=0) + dropped
    first = through_steps + 8 * n * eps * _condition(product) + 2 * eps * jnp.abs(logs)
    total = SAFETY * first + found.residual
    swamped = ~(_below(sums, d) <= SWAMPED)
    uncertain = jax.lax.cummax((~(total <= LARGEST)).astype(jnp.int32)) > 0
    return jnp.where(uncertain | swamped, jnp.inf, total)


def _gamma(like: Array) -> Array:
    """Bound on the relative error of an inner product of n terms."""
    n = like.shape[-1]
    return jnp.asarray(min(n + 3, 6 * n**0.5) * float(jnp.finfo(like.dtype).eps) / 2, like.dtype)


def _exponents(d: Scales) -> Int[Array, " n"]:
    return jnp.where(d.mantissa == 0, NOTHING, d.exponent)


def _row_scales(d: Scales) -> Int[Array, " n"]:
    """The exponents that ``Sums.rows`` are relative to."""
    return jnp.where(d.mantissa == 0, _exponents(d).max(), d.exponent)


def _scaled(matrix: Float[Array, "n n"], axis: int) -> tuple[Float[Array, "n n"], Int[Array, " n"]]:
    """Rows (axis 1) or columns (axis 0) divided by powers of two, and these powers."""
    largest = jnp.abs(matrix).max(axis=axis)
    _, exponents = jnp.frexp(largest)
    return times_power_of_two(matrix, -jnp.expand_dims(exponents, axis)), exponents


def _condition(product: GradedProduct) -> Float[Array, " n"]:
    """``‖T̂⁻¹‖_F`` of the rows of T, made of length one, down to each: what Jacobi's errors are multiplied by."""
    order = scales.order(product.d, jnp.ones_like(product.d.mantissa))
    rows = product.t[order]
    rows = rows / jnp.linalg.norm(rows, axis=1)[:, None]
    r = jnp.linalg.qr(rows.T, mode="r")
    inverse = jax.scipy.linalg.solve_triangular(r.T, jnp.eye(r.shape[0], dtype=r.dtype), lower=True)
    return jnp.sqrt(jnp.cumsum(jnp.square(inverse).sum(axis=1)))


def _below(sums: Sums, d: Scales) -> Float[Array, " n"]:
    """What is uncertain of all directions below each, in units of its own scale."""
    order = scales.order(d, jnp.ones_like(d.mantissa))
    a, exponents = sums.a[order][:, order], _exponents(d)[order]
    hooks = jnp.triu(a).sum(axis=1) + jnp.tril(a, -1).sum(axis=0)
    later = jnp.tril(jnp.ones_like(a), -1).T
    return times_power_of_two(later * hooks[None, :], exponents[None, :] - exponents[:, None]).sum(axis=1)
