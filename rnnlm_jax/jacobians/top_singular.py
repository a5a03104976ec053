"""The largest singular values and vectors of ``∂s_T / ∂s_0`` without a matrix, for thousands of hidden units.

Golub–Kahan bidiagonalisation needs only products with the Jacobian and its transpose. Each is one pass through time, by
jvps forwards or vjps backwards, over stored states of O(T·n) numbers in all.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import state_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import check_at_least_32_bits, inputs_over_time
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.step_jacobian import step_operator


class TopSingular(NamedTuple):
    """The k largest singular triples ``P v = σ u`` of a product of Jacobians ``P``."""

    log_singular_values: Float[Array, " k"]
    """``ln σ`` in nats, descending; -inf for a zero."""
    left: Float[Array, "n k"]
    """Columns u, directions of ``s_T``."""
    right: Float[Array, "n k"]
    """Columns v, directions of ``s_0``."""
    residual: Float[Array, " k"]
    """``√(‖P v - σ u‖² + ‖Pᵀ u - σ v‖²) / σ``, plus ``n ε σ_1 / σ`` for rounding errors of ``P v``: an exact singular
    value lies within about this many nats of the computed one. It is inf for a zero if other values are not zero."""


def top_singular(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T D"] | ArrayLike,
    *,
    k: int,
    key: Key,
    num_steps: int | None = None,
) -> TopSingular:
    """Return the k largest singular triples of ``∂s_T / ∂s_0 = J_T ⋯ J_1``, with a residual for each.

    A first pass stores the states, and the factor by which each step stretches a random direction. Each step's jvp and
    vjp are divided by that factor, so that products neither overflow nor underflow at any length, while the operator
    remains linear and its two products transposes of each other. No n × n matrix is formed: the cost is that of
    2 ``num_steps`` passes through time, and O(``num_steps``² n) for orthogonalisation. Values below about ``ε σ_1``
    cannot be computed in this way and have residuals of 1 and more; ``spectrum`` computes them.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: s_0, unbatched (``cell.initial_state(())``); ``vmap`` for more.
        xs: the inputs of one sequence.
        k: number of triples.
        key: random key of the start directions.
        num_steps: steps of bidiagonalisation, each a pass through time and back; ``min(n, 4 k + 20)`` by default. Use
            more if residuals are too large; n steps are exact.

    Raises:
        ArgumentError: unless ``1 <= k <= num_steps <= n``, or if the inputs have batch axes.
    """
    check_at_least_32_bits(cell)
    n = state_size(cell)
    steps = min(n, 4 * k + 20) if num_steps is None else num_steps
    if not 1 <= k <= steps <= n:
        raise ArgumentError(f"`k` and `num_steps` must satisfy 1 <= k <= num_steps <= {n}, not {k} and {steps}")
    xs = inputs_over_time(cell, state, xs, batched=False)
    with jax.default_matmul_precision("highest"):  # a GPU's default for float32 would not keep a basis orthogonal
        return _top_singular(cell, params, state, xs, k=k, key=key, steps=steps)


@compiled("cell", "k", "steps")
def _top_singular(cell: Cell, params: Tree, state: Tree, xs: Array, *, k: int, key: Key, steps: int) -> TopSingular:
    n, dtype = state_size(cell), cell.spec.param_dtype
    directions = jax.random.normal(key, (steps + 2, 2, n), dtype)
    zs = cell.input_projection(params, xs)

    def probe(carry: tuple[Tree, Array], z: Array) -> tuple[tuple[Tree, Array], tuple[Tree, Array]]:
        state, direction = carry
        stretched = step_operator(cell, params, state, z).jvp(direction)
        length = _nonzero_norm(stretched)
        return (cell.step(params, state, z), stretched / length), (state, length)

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

    basis = _bidiagonalise(forwards, backwards, n, directions=directions[1:])
    inner_left, values, inner_right = jnp.linalg.svd(basis.b)
    combine_left, combine_right, values = inner_left.T[:k], inner_right[:k], values[:k]
    left, right = combine_left @ basis.u, combine_right @ basis.v
    # P v and Pᵀ u are combinations of the products with the basis vectors.
    residual_left = combine_right @ basis.forwards - values[:, None] * left
    residual_right = combine_left @ basis.backwards - values[:, None] * right
    distance = jnp.hypot(norm(residual_left), norm(residual_right)) + n * jnp.finfo(dtype).eps * values[0]
    residual = jnp.where(distance == 0, jnp.zeros((), dtype), distance / values)
    return TopSingular(jnp.log(values) + jnp.log(lengths).sum(), left.T, right.T, residual)


class _Bidiagonal(NamedTuple):
    """``P Vᵀ = Uᵀ B`` with orthonormal rows of U and V and upper bidiagonal B; and ``P v``, ``Pᵀ u`` of every row."""

    u: Float[Array, "m n"]
    b: Float[Array, "m m"]
    v: Float[Array, "m n"]
    forwards: Float[Array, "m n"]
    backwards: Float[Array, "m n"]


def _bidiagonalise(
    forwards: Callable[[Array], Array], backwards: Callable[[Array], Array], n: int, *, directions: Array
) -> _Bidiagonal:
    """Bidiagonalise by Golub & Kahan (1965) with full reorthogonalisation, from random directions ``[m + 1, 2, n]``.

    A new vector that is zero after orthogonalisation means that the space so far is invariant; for a product of low
    rank or a multiple of the identity, this happens early. Then B gets a zero, and the iteration continues with a
    random direction orthogonal to that space. (matfree 0.6 divides by zero there.)
    """
    steps, dtype = directions.shape[0] - 1, directions.dtype

    def orthogonal(vector: Array, basis: Array) -> Array:
        for _ in range(2):
            vector = vector - (basis @ vector) @ basis
        return vector

    def next_vector(product: Array, basis: Array, random: Array) -> tuple[Array, Array]:
        rest = orthogonal(product, basis)
        length = norm(rest)
        invariant = length <= jnp.finfo(dtype).eps * norm(product)
        rest = jnp.where(invariant, orthogonal(random, basis), rest)
        return rest / _nonzero_norm(rest), jnp.where(invariant, jnp.zeros((), dtype), length)

    def step(carry: tuple[Array, Array, Array], at: tuple[Array, Array]) -> tuple[tuple, tuple]:
        basis_u, basis_v, v = carry
        i, random = at
        basis_v = basis_v.at[i].set(v)
        ahead = forwards(v)
        u, alpha = next_vector(ahead, basis_u, random[0])
        basis_u = basis_u.at[i].set(u)
        back = backwards(u)
        v, beta = next_vector(back, basis_v, random[1])
        return (basis_u, basis_v, v), (alpha, beta, ahead, back)

    empty = jnp.zeros((steps, n), dtype)
    start = directions[0, 0] / jnp.linalg.norm(directions[0, 0])
    carry, rows = jax.lax.scan(step, (empty, empty, start), (jnp.arange(steps), directions[1:]))
    (u, v, _), (alphas, betas, ahead, back) = carry, rows
    return _Bidiagonal(u, jnp.diag(alphas) + jnp.diag(betas[:-1], 1), v, ahead, back)


def _nonzero_norm(vector: Array) -> Array:
    """Return the norm, to divide by; 1 for a vector of zeros."""
    length = norm(vector)
    return jnp.where(length == 0, jnp.ones_like(length), length)
