"""Derivatives of the log singular values of a product of matrices with respect to each factor, at any spread.

To first order ``d ln σ_i = u_iᵀ dP v_i / σ_i``. With ``P = J_T ⋯ J_1`` and any c ≠ 0,

    d ln σ_i = Σ_t l_it dJ_t r_it,    l_it = u_iᵀ J_T ⋯ J_{t+1} / c,    r_it = c J_{t-1} ⋯ J_1 v_i / σ_i.

The product is computed by steps ``J_t Q_{t-1} = Q_t R_t``, with ``R_T ⋯ R_1 = D T = U Σ Vᵀ``. So ``l_it`` is row i of
``Uᵀ W_t Q_tᵀ``, and ``r_it`` is column i of ``Q_{t-1} Y_{t-1} U``, where ``W_t = R_T ⋯ R_{t+1}`` and
``Y_{t-1} = (R_T ⋯ R_t)⁻¹`` are recurrences backwards in time (those of ``error_bound``). Every row and column has an
exponent of its own, and so has every entry of U.

Where step t has a null direction, ``R_t`` is singular. The component of ``r_it`` in that direction does not follow from
later steps; it is computed from the product before the step, as ``D T v_i / σ_i``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.arrays.power_of_two import scale_by_power_of_two, times_power_of_two
from rnnlm_jax.jacobians.arithmetic import extended_range
from rnnlm_jax.jacobians.arithmetic.extended_range import ExtendedFloats
from rnnlm_jax.jacobians.graded import graded_product, graded_svd
from rnnlm_jax.jacobians.graded.graded_product import GradedProduct

#: Stands for the exponent of zero: below that of any number here.
ZERO_EXPONENT = -(1 << 28)


class GradedStep(NamedTuple):
    """One step of a graded product, ``J_t Q_{t-1} = Q_t R_t``; with a leading axis, all steps."""

    before: GradedProduct
    q: Float[Array, "*T n n"]
    r: Float[Array, "*T n n"]
    """Rows of null directions are zero."""
    whole_r: Float[Array, "*T n n"]
    """R; rows of null directions are zero if the direction has become null in this step, and as computed if its scale
    was zero before."""
    order: Int[Array, "*T n"]
    exponent: Int[Array, "*T"]
    """Exponent of the power of two that the factor was divided by."""


class Columns(NamedTuple):
    """``matrix · diag(2^exponent)``: a matrix whose columns have exponents of their own."""

    matrix: Float[Array, "n n"]
    exponent: Int[Array, " n"]


class _Back(NamedTuple):
    """The recurrences: W by rows, Y by columns, and the contribution of null directions to ``Y U``."""

    w: Float[Array, "n n"]
    w_exponent: Int[Array, " n"]
    y: Columns
    null: Columns


class Sensitivities(NamedTuple):
    """``d ln σ_i = Σ_t left[t, i, :] dJ_t right[t, :, i]``; zero for values that are -inf."""

    left: Float[Array, "T n n"]
    right: Float[Array, "T n n"]


def graded_steps(matrices: Float[Array, "T n n"], dtype: DTypeLike) -> tuple[GradedProduct, GradedStep]:
    """Return the product after each step, and each step, with a leading axis of length T."""

    def step(before: GradedProduct, j: Array) -> tuple[GradedProduct, tuple[GradedProduct, GradedStep]]:
        scaled = scale_by_power_of_two(j.astype(dtype))
        after, qr = graded_product.multiply(scaled.matrix, before)
        after = after._replace(d=extended_range.shift_exponent(after.d, scaled.exponent))
        null_before = extended_range.take(before.d, qr.order).mantissa == 0
        whole_r = jnp.where(null_before[:, None], qr.r_before_zeroing, qr.r)
        return after, (after, GradedStep(before, qr.q, qr.r, whole_r, qr.order, scaled.exponent))

    return jax.lax.scan(step, graded_product.identity(matrices.shape[-1], dtype), matrices)[1]


def sensitivities(steps: GradedStep, lag: Int[Array, ""], product: GradedProduct) -> Sensitivities:
    """Return the sensitivities of the product of the first ``lag`` factors; zero for the factors after them.

    Args:
        steps: the steps of all factors, see ``graded_steps``.
        lag: number of factors in the product.
        product: their product.
    """
    v, sigma = graded_svd.right_vectors(product)
    u, u_exponent = left_vectors(product, v, sigma)
    n, dtype = v.shape[0], v.dtype
    eye, zeros = jnp.eye(n, dtype=dtype), jnp.zeros(n, jnp.int32)
    start = _Back(eye, zeros, Columns(eye, zeros), Columns(jnp.zeros_like(eye), zeros + ZERO_EXPONENT))

    def step(after: _Back, at: tuple[GradedStep, Array]) -> tuple[_Back, tuple[Array, Array]]:
        here, number = at
        before = _step_back(after, here, v, sigma)
        left = _multiply(Columns(after.w.T, after.w_exponent), u, u_exponent)
        right = _add(_multiply(before.y, u, u_exponent), before.null)
        rows = times_power_of_two(here.q @ left.matrix, (left.exponent + right.exponent)[None, :]).T
        columns = here.before.q @ right.matrix
        used = number < lag
        before = jax.tree.map(lambda new, old: jnp.where(used, new, old), before, after)
        return before, (jnp.where(used, rows, 0), jnp.where(used, columns, 0))

    numbers = jnp.arange(steps.exponent.shape[0], dtype=jnp.int32)
    return Sensitivities(*jax.lax.scan(step, start, (steps, numbers), reverse=True)[1])


def left_vectors(
    product: GradedProduct, v: Array, sigma: ExtendedFloats
) -> tuple[Float[Array, "n n"], Int[Array, "n n"]]:
    """Return U of ``D T = U Σ Vᵀ`` and an exponent for each entry; columns of zero singular values are zero.

    ``U_ki = d_k (T V)_ki / σ_i`` is accurate where ``d_k ≤ σ_i``, and ``U_ki = σ_i (T⁻ᵀ V)_ki / d_k`` elsewhere.
    """
    d, t = product.d, product.t
    forwards = t @ v
    backwards = jnp.linalg.solve(t.T, v)
    live = (d.mantissa != 0)[:, None] & (sigma.mantissa != 0)[None, :]
    exponents = d.exponent[:, None] - sigma.exponent[None, :]
    ratio = jnp.where(live, d.mantissa[:, None], 1) / jnp.where(live, sigma.mantissa[None, :], 1)
    smaller = exponents <= 0
    matrix = jnp.where(live, jnp.where(smaller, forwards * ratio, backwards / ratio), 0)
    return matrix, jnp.where(matrix == 0, ZERO_EXPONENT, jnp.where(smaller, exponents, -exponents))


def _step_back(after: _Back, step: GradedStep, v: Array, sigma: ExtendedFloats) -> _Back:
    """Return the recurrences before a step, given those after it."""
    null, n = jnp.diagonal(step.r) == 0, v.shape[0]
    triangle = step.r + jnp.diag(null.astype(v.dtype))
    null_part = _add(
        Columns(jnp.where(null[:, None], 0, after.null.matrix), after.null.exponent),
        _in_null_directions(step, null, v, sigma),
    )
    y = jnp.where(null[:, None], 0, after.y.matrix)
    solved = jax.scipy.linalg.solve_triangular(triangle, jnp.concatenate([y, null_part.matrix], axis=1))
    unsorted = jnp.argsort(step.order)
    solved = solved[unsorted]
    w = _normalise(Columns((after.w @ step.whole_r)[:, unsorted].T, after.w_exponent + step.exponent))
    return _Back(
        w.matrix.T,
        w.exponent,
        _normalise(Columns(solved[:, :n], after.y.exponent - step.exponent)),
        _normalise(Columns(solved[:, n:], null_part.exponent - step.exponent)),
    )


def _in_null_directions(step: GradedStep, null: Bool[Array, " n"], v: Array, sigma: ExtendedFloats) -> Columns:
    """Return the rows of ``2^exponent D T V Σ⁻¹`` before the step for its null directions, zero for the others."""
    d, t = extended_range.take(step.before.d, step.order), step.before.t[step.order]
    live = (null & (d.mantissa != 0))[:, None] & (sigma.mantissa != 0)[None, :]
    matrix = jnp.where(live, d.mantissa[:, None] * (t @ v) / jnp.where(live, sigma.mantissa[None, :], 1), 0)
    return _with_column_exponents(matrix, d.exponent[:, None] - sigma.exponent[None, :] + step.exponent)


def _multiply(columns: Columns, u: Float[Array, "n n"], u_exponents: Int[Array, "n n"]) -> Columns:
    """Return ``(matrix · diag(2^exponent)) (u ⊙ 2^u_exponents)``."""
    scaled_u = _with_column_exponents(u, u_exponents + columns.exponent[:, None])
    return _normalise(Columns(columns.matrix @ scaled_u.matrix, scaled_u.exponent))


def _with_column_exponents(matrix: Float[Array, "n n"], exponents: Int[Array, "n n"]) -> Columns:
    """Convert exponents of the entries to exponents of the columns, the largest of each column."""
    exponents = jnp.where(matrix == 0, ZERO_EXPONENT, exponents)
    largest = exponents.max(axis=0)
    return Columns(times_power_of_two(matrix, exponents - largest[None, :]), largest)


def _add(one: Columns, other: Columns) -> Columns:
    largest = jnp.maximum(one.exponent, other.exponent)
    first, second = (times_power_of_two(each.matrix, (each.exponent - largest)[None, :]) for each in (one, other))
    return Columns(first + second, largest)


def _normalise(columns: Columns) -> Columns:
    """Move powers of two from the columns to the exponents, so that the largest entry of each column is in [½, 1)."""
    matrix, exponent = columns
    _, shift = jnp.frexp(jnp.abs(matrix).max(axis=0))
    zero = (matrix == 0).all(axis=0)
    return Columns(times_power_of_two(matrix, -shift[None, :]), jnp.where(zero, ZERO_EXPONENT, exponent + shift))
