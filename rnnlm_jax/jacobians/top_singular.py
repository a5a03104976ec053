"""The largest singular values and vectors of ``∂s_T / ∂s_0`` without a matrix, for hidden sizes in the thousands.

Golub–Kahan bidiagonalisation asks only for products with the Jacobian and its transpose: one sweep through time each,
forwards by jvps and backwards by vjps, over states that are kept, O(T·n) numbers in all.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import check_factored, inputs_over_time
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.norms import norm
from rnnlm_jax.jacobians.state_vector import state_size
from rnnlm_jax.jacobians.step_jacobian import step_operator


class TopSingular(NamedTuple):
    """The k largest singular triples of a product of Jacobians ``P``, ``P v = σ u``."""

    log_singular_values: Float[Array, " k"]
    """Nats, descending; -inf for a zero."""
    left: Float[Array, "n k"]
    """Columns u: the directions at the end of the sequence."""
    right: Float[Array, "n k"]
    """Columns v: the directions at its start."""
    residual: Float[Array, " k"]
    """``√(‖P v - σ u‖² + ‖Pᵀ u - σ v‖²) / σ``, plus the rounding error of ``P v``, ``n ε σ_1 / σ``: an exact singular
    value lies within about as many nats of this one. Inf for a zero beside values that are none."""


def top_singular(
    cell: Cell, params: Tree, state: Tree, xs: Float[Array, "T D"], k: int, key: Key, num_steps: int | None = None
) -> TopSingular:
    """The k largest singular triples of ``∂s_T / ∂s_0 = J_T ⋯ J_1``, and how far each can be trusted.

    A first pass keeps the states, and the factor by which each step stretches a random direction. Each step's jvp and
    vjp are divided by that factor: the operator stays exactly linear and its two products exact transposes, whatever
    the length. No n × n matrix is formed. Values below about ``ε σ_1`` cannot be reached in this way (``spectrum``
    reaches them): they come out with residuals of 1 and more.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, unbatched (``cell.initial_state(())``); ``vmap`` for more.
        xs: the inputs, one sequence.
        k: how many triples.
        key: of the random directions.
        num_steps: steps of bidiagonalisation, each a sweep through time and back; ``min(n, 4 k + 20)`` unless given.
            Give more where residuals are too large: n steps are exact.

    Raises:
        UserError: unless ``1 <= k <= num_steps <= n``, or if the inputs have batch axes.
    """
    check_factored(cell)
    n = state_size(cell)
    steps = min(n, 4 * k + 20) if num_steps is None else num_steps
    if not 1 <= k <= steps <= n:
        raise UserError(f"k and num_steps must satisfy 1 <= k <= num_steps <= {n}, not k = {k} and {steps} steps")
    xs = inputs_over_time(cell, state, xs, batched=False)
    with jax.default_matmul_precision("highest"):  # a GPU's default for float32 would not keep a basis orthogonal
        return _top_singular(cell, params, state, xs, k, key, steps)


@compiled("cell", "k", "steps")
def _top_singular(cell: Cell, params: Tree, state: Tree, xs: Array, k: int, key: Key, steps: int) -> TopSingular:
    n, dtype = state_size(cell), cell.spec.param_dtype
    directions = jax.random.normal(key, (steps + 2, 2, n), dtype)
    zs = cell.input_projection(params, xs)

    def probe(carry: tuple[Tree, Array], z: Array) -> tuple[tuple[Tree, Array], tuple[Tree, Array]]:
        state, direction = carry
        pushed = step_operator(cell, params, state, z).jvp(direction)
        length = _length(pushed)
        return (cell.step(params, state, z), pushed / length), (state, length)

    _, (states, lengths) = jax.lax.scan(probe, (state, directions[0, 0]), zs)

    def forwards(v: Array) -> Array:
        def step(v: Array, at: tuple[Tree, Array, Array]) -> tuple[Array, None]:
            state, z, length = at
            return step_operator(cell, params, state, z).jvp(v) / length, None

        return jax.lax.scan(step, v, (states, zs, lengths))[0]

    def backwards(u: Array) -> Array:
        def step(u: Array, at: tuple[Tree, Array, Array]) -> tuple[Array, None]:
            state, z, length = at
            return step_operator(cell, params, state, z).vjp(u / length), None

        return jax.lax.scan(step, u, (states, zs, lengths), reverse=True)[0]

    found = _bidiagonalise(forwards, backwards, n, directions[1:])
    inner_left, values, inner_right = jnp.linalg.svd(found.b)
    combine_left, combine_right, values = inner_left.T[:k], inner_right[:k], values[:k]
    left, right = combine_left @ found.u, combine_right @ found.v
    off_left = combine_right @ found.forwards - values[:, None] * left  # P v, of the products with each basis vector
    off_right = combine_left @ found.backwards - values[:, None] * right
    distance = jnp.hypot(norm(off_left), norm(off_right)) + n * jnp.finfo(dtype).eps * values[0]
    residual = jnp.where(distance == 0, jnp.zeros((), dtype), distance / values)
    return TopSingular(jnp.log(values) + jnp.log(lengths).sum(), left.T, right.T, residual)


class _Bidiagonal(NamedTuple):
    """``P Vᵀ = Uᵀ B``, orthonormal rows in U and V, B upper bidiagonal; and ``P v``, ``Pᵀ u`` of every row."""

    u: Float[Array, "m n"]
    b: Float[Array, "m m"]
    v: Float[Array, "m n"]
    forwards: Float[Array, "m n"]
    backwards: Float[Array, "m n"]


def _bidiagonalise(
    forwards: Callable[[Array], Array], backwards: Callable[[Array], Array], n: int, directions: Array
) -> _Bidiagonal:
    """Golub & Kahan (1965) with full reorthogonalisation, from random directions ``[m + 1, 2, n]``.

    Where nothing is left of a new vector, the space found so far is invariant, as it is early for a product of low rank
    or a multiple of the identity. Then B gets a zero, and a random direction goes on in what remains. (That is why this
    is no library's: matfree 0.6 divides by zero there.)
    """
    steps, dtype = directions.shape[0] - 1, directions.dtype

    def orthogonal(vector: Array, basis: Array) -> Array:
        for _ in range(2):
            vector = vector - (basis @ vector) @ basis
        return vector

    def following(pushed: Array, basis: Array, fresh: Array) -> tuple[Array, Array]:
        rest = orthogonal(pushed, basis)
        length = norm(rest)
        nothing = length <= jnp.finfo(dtype).eps * norm(pushed)
        rest = jnp.where(nothing, orthogonal(fresh, basis), rest)
        return rest / _length(rest), jnp.where(nothing, jnp.zeros((), dtype), length)

    def step(carry: tuple[Array, Array, Array], at: tuple[Array, Array]) -> tuple[tuple, tuple]:
        basis_u, basis_v, v = carry
        i, fresh = at
        basis_v = basis_v.at[i].set(v)
        ahead = forwards(v)
        u, alpha = following(ahead, basis_u, fresh[0])
        basis_u = basis_u.at[i].set(u)
        back = backwards(u)
        v, beta = following(back, basis_v, fresh[1])
        return (basis_u, basis_v, v), (alpha, beta, ahead, back)

    empty = jnp.zeros((steps, n), dtype)
    start = directions[0, 0] / jnp.linalg.norm(directions[0, 0])
    carry, rows = jax.lax.scan(step, (empty, empty, start), (jnp.arange(steps), directions[1:]))
    (u, v, _), (alphas, betas, ahead, back) = carry, rows
    return _Bidiagonal(u, jnp.diag(alphas) + jnp.diag(betas[:-1], 1), v, ahead, back)


def _length(vector: Array) -> Array:
    """The norm to divide by: 1 for a vector of zeros."""
    length = norm(vector)
    return jnp.where(length == 0, jnp.ones_like(length), length)
