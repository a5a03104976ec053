"""Derivatives of the log singular values of a product of matrices with respect to each factor, at any spread.

To first order ``d log σ_i = u_iᵀ dP v_i / σ_i``, and with ``P = J_T ⋯ J_1``

    d log σ_i = Σ_t l_it dJ_t r_it,    l_it = u_iᵀ J_T ⋯ J_{t+1} / c,    r_it = c J_{t-1} ⋯ J_1 v_i / σ_i.

The product is computed by steps ``J_t Q_{t-1} = Q_t R_t``, and ``R_T ⋯ R_1 = D T = U Σ Vᵀ``. So ``l_it`` is row i of
``Uᵀ W_t Q_tᵀ`` and ``r_it`` column i of ``Q_{t-1} Y_{t-1} U``, where W and Y are the recurrences back through time of
``error_bound``. Every row and column has a power of two of its own, and every entry of U too.

Where a step has a null direction, ``R_t`` has no inverse, and what is left of ``v_i`` in that direction does not follow
from later steps: it comes from the product up to there, ``D_t T_t v_i / σ_i``.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.jacobians import graded, graded_svd, scales
from rnnlm_jax.jacobians.graded import GradedProduct
from rnnlm_jax.jacobians.power_of_two import power_of_two, times_power_of_two
from rnnlm_jax.jacobians.scales import Scales

#: The exponent of a zero: below that of any number here.
NOTHING = -(1 << 28)


class Step(NamedTuple):
    """One step of a graded product."""

    before: GradedProduct
    q: Float[Array, "n n"]
    r: Float[Array, "n n"]
    """Rows of null directions are zero."""
    whole_r: Float[Array, "n n"]
    """Rows of the null directions of earlier steps are what this step does to them."""
    order: Int[Array, " n"]
    exponent: Int[Array, ""]
    """Of the power of two that the factor was divided by."""


class Columns(NamedTuple):
    """A matrix whose columns have powers of two of their own."""

    matrix: Float[Array, "n n"]
    exponent: Int[Array, " n"]


class _Back(NamedTuple):
    """Recurrences back through time: W by rows, Y by columns, and what null directions add to ``Y U``."""

    w: Float[Array, "n n"]
    w_exponent: Int[Array, " n"]
    y: Columns
    null: Columns


class Sensitivities(NamedTuple):
    """``d log σ_i = Σ_t left[t, i, :] dJ_t right[t, :, i]``; zeros of values that are -inf."""

    left: Float[Array, "T n n"]
    right: Float[Array, "T n n"]


def graded_steps(matrices: Float[Array, "T n n"], dtype: Any) -> tuple[GradedProduct, Step]:
    """The product after each step, and each step, with a leading axis."""

    def step(before: GradedProduct, j: Array) -> tuple[GradedProduct, tuple[GradedProduct, Step]]:
        scaled = power_of_two(j.astype(dtype))
        after, done = graded.multiply(scaled.matrix, before)
        after = after._replace(d=scales.shifted(after.d, scaled.exponent))
        earlier = scales.take(before.d, done.order).mantissa == 0
        whole = jnp.where(earlier[:, None], done.whole_r, done.r)
        return after, (after, Step(before, done.q, done.r, whole, done.order, scaled.exponent))

    return jax.lax.scan(step, graded.identity(matrices.shape[-1], dtype), matrices)[1]


def sensitivities(steps: Step, lag: Int[Array, ""], product: GradedProduct) -> Sensitivities:
    """Those of the product of the first ``lag`` factors; zeros for the factors after them.

    Args:
        steps: of all factors, see ``graded_steps``.
        lag: how many of them.
        product: their product.
    """
    v, sigma = graded_svd.right_vectors(product)
    u, u_exponent = _left_vectors(product, v, sigma)
    n, dtype = v.shape[0], v.dtype
    eye, none = jnp.eye(n, dtype=dtype), jnp.zeros(n, jnp.int32)
    start = _Back(eye, none, Columns(eye, none), Columns(jnp.zeros_like(eye), none + NOTHING))

    def step(after: _Back, at: tuple[Step, Array]) -> tuple[_Back, tuple[Array, Array]]:
        here, number = at
        before = _earlier(after, here, v, sigma)
        left = _combined(after.w.T, after.w_exponent, u, u_exponent)
        right = _sum(_combined(before.y.matrix, before.y.exponent, u, u_exponent), before.null)
        rows = times_power_of_two(here.q @ left.matrix, (left.exponent + right.exponent)[None, :]).T
        columns = here.before.q @ right.matrix
        used = number < lag
        before = jax.tree.map(lambda new, old: jnp.where(used, new, old), before, after)
        return before, (jnp.where(used, rows, 0), jnp.where(used, columns, 0))

    numbers = jnp.arange(steps.exponent.shape[0], dtype=jnp.int32)
    return Sensitivities(*jax.lax.scan(step, start, (steps, numbers), reverse=True)[1])


def _left_vectors(product: GradedProduct, v: Array, sigma: Scales) -> tuple[Float[Array, "n n"], Int[Array, "n n"]]:
    """U of ``D T = U Σ Vᵀ``, each entry with a power of two; columns of null values are zero.

    ``U_ki = d_k (T V)_ki / σ_i`` is right where ``d_k ≤ σ_i``, and ``U_ki = σ_i (T⁻ᵀ V)_ki / d_k`` where not.
    """
    d, t = product.d, product.t
    forwards = t @ v
    backwards = jnp.linalg.solve(t.T, v)
    live = (d.mantissa != 0)[:, None] & (sigma.mantissa != 0)[None, :]
    apart = d.exponent[:, None] - sigma.exponent[None, :]
    ratio = jnp.where(live, d.mantissa[:, None], 1) / jnp.where(live, sigma.mantissa[None, :], 1)
    smaller = apart <= 0
    matrix = jnp.where(live, jnp.where(smaller, forwards * ratio, backwards / ratio), 0)
    return matrix, jnp.where(matrix == 0, NOTHING, jnp.where(smaller, apart, -apart))


def _earlier(after: _Back, step: Step, v: Array, sigma: Scales) -> _Back:
    """The recurrences before a step."""
    null, n = jnp.diagonal(step.r) == 0, v.shape[0]
    triangle = step.r + jnp.diag(null.astype(v.dtype))
    added = _sum(
        Columns(jnp.where(null[:, None], 0, after.null.matrix), after.null.exponent),
        _in_null_directions(step, null, v, sigma),
    )
    y = jnp.where(null[:, None], 0, after.y.matrix)
    solved = jax.scipy.linalg.solve_triangular(triangle, jnp.concatenate([y, added.matrix], axis=1))
    before = jnp.argsort(step.order)
    solved = solved[before]
    w = _normalised((after.w @ step.whole_r)[:, before].T, after.w_exponent + step.exponent)
    return _Back(
        w.matrix.T,
        w.exponent,
        _normalised(solved[:, :n], after.y.exponent - step.exponent),
        _normalised(solved[:, n:], added.exponent - step.exponent),
    )


def _in_null_directions(step: Step, null: Bool[Array, " n"], v: Array, sigma: Scales) -> Columns:
    """``2^exponent D T v_i / σ_i`` before the step, where the step has null directions; zeros elsewhere."""
    d, t = scales.take(step.before.d, step.order), step.before.t[step.order]
    live = (null & (d.mantissa != 0))[:, None] & (sigma.mantissa != 0)[None, :]
    matrix = jnp.where(live, d.mantissa[:, None] * (t @ v) / jnp.where(live, sigma.mantissa[None, :], 1), 0)
    return _by_column(matrix, d.exponent[:, None] - sigma.exponent[None, :] + step.exponent)


def _combined(matrix: Array, exponent: Array, u: Array, u_exponent: Array) -> Columns:
    """``(matrix diag(2^exponent)) (u 2^u_exponent)``."""
    of_u = _by_column(u, u_exponent + exponent[:, None])
    return _normalised(matrix @ of_u.matrix, of_u.exponent)


def _by_column(matrix: Float[Array, "n n"], exponents: Int[Array, "n n"]) -> Columns:
    """A matrix with powers of two of its entries as one with powers of its columns."""
    exponents = jnp.where(matrix == 0, NOTHING, exponents)
    largest = exponents.max(axis=0)
    return Columns(times_power_of_two(matrix, exponents - largest[None, :]), largest)


def _sum(one: Columns, other: Columns) -> Columns:
    largest = jnp.maximum(one.exponent, other.exponent)
    first, second = (times_power_of_two(each.matrix, (each.exponent - largest)[None, :]) for each in (one, other))
    return Columns(first + second, largest)


def _normalised(matrix: Array, exponent: Array) -> Columns:
    """Columns divided by powers of two, the largest entry of each between ½ and 1."""
    _, shift = jnp.frexp(jnp.abs(matrix).max(axis=0))
    nothing = (matrix == 0).all(axis=0)
    return Columns(times_power_of_two(matrix, -shift[None, :]), jnp.where(nothing, NOTHING, exponent + shift))
