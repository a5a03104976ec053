"""Slow points of a cell under constant inputs: states where the speed of the dynamics has a local minimum.

Sussillo & Barak (2013) minimise ``q(s) = ½ ‖step(s, x) - s‖²`` from states that a trained network visits. Points with q
of rounding error are fixed points, stable or not; others with small q are slow, such as the ghosts of fixed points that
have just vanished, or the states along a line attractor.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import from_vector, to_vector
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import check_at_least_32_bits, check_state_batch, inputs_of_states
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.compiled import compiled

#: A search ends when q is at most this, or the tolerance if that is smaller.
FIXED = 1e-12
#: A search ends where ``‖∇q‖`` is at most this times the speed: at a local minimum whose q is not zero.
STATIONARY = 1e-6
#: A point is an outlier if it is further from the mean of the starts than this times their mean distance from it.
OUTLIER_DISTANCES = 10.0
#: Number of earlier gradients that L-BFGS keeps.
MEMORY = 10


class SlowPoints(NamedTuple):
    """Results of P minimisations of ``q(s) = ½ ‖step(s, x) - s‖²``."""

    states: Tree
    """Leaves ``[P, ·]``: where each search ended."""
    q: Float[Array, " P"]
    """Its q."""
    speed: Float[Array, " P"]
    """``‖step(s, x) - s‖ = √(2 q)``, the distance that the state moves in a step."""
    converged: Bool[Array, " P"]
    """Whether q is within the tolerance."""
    outlier: Bool[Array, " P"]
    """Whether the point is so far from the starts that the network does not come near it: more than 10 times further
    from their mean than they are on average. Such points are mostly of no interest."""
    iterations: Int[Array, " P"]
    """Number of steps of the minimisation."""
    distance: Float[Array, " P"]
    """Half the distance up to which two points are the same for ``distinct``; inf where q is not within the
    tolerance."""


def slow_points(
    cell: Cell,
    params: Tree,
    x: Float[Array, "*P D"] | ArrayLike,
    *,
    starts: Tree,
    max_steps: int = 2000,
    tolerance: float = 1e-12,
    unique: float = 1e-3,
) -> SlowPoints:
    """Minimise ``q(s) = ½ ‖step(s, x) - s‖²`` over the full state from each of P starts (Sussillo & Barak 2013).

    ``distinct`` then removes duplicates, ``fixed_point_eigenvalues`` gives the eigenvalues of each, of which those
    with a modulus above 1 are unstable directions, and ``fixed_points`` started from the states refines fixed points
    to rounding error. Newton's method (``fixed_points``) finds zeros of q only, and may jump far from its start;
    descent stays in the valley where it starts, and finds points that are slow but not fixed.

    All searches run in one compiled program, each by L-BFGS (``optax.lbfgs``), whose steps cost O(n) beside a few
    steps of the cell and their gradients. Each ends when q is at most 1e-12 or the tolerance, at a local minimum
    (``‖∇q‖`` at most 1e-6 times the speed), when a step no longer changes the state, or after ``max_steps``. Searches
    in float32 cannot resolve q far below 1e-12: make the cell with ``param_dtype`` float64 for smaller tolerances.
    The result is constant under differentiation (``fixed_points`` has derivatives).

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        x: the constant input ``[D]`` of all searches, or one for each, ``[P, D]``.
        starts: states to start from, leaves ``[P, ·]``: many states of trajectories, with or without noise.
        max_steps: largest number of steps of a search.
        tolerance: largest q of a point that counts as converged. Larger ones, such as 1e-6, keep points that are only
            slow.
        unique: points of which no entry differs by more than this are duplicates for ``distinct``. Points of different
            inputs are to be compared by input.

    Raises:
        ArgumentError: if a number is not positive, or x or the starts do not fit the cell.
    """
    check_at_least_32_bits(cell)
    starts = check_state_batch(cell, starts)
    x = inputs_of_states(cell, x, starts)
    if max_steps < 1:
        raise ArgumentError(f"`max_steps` must be at least 1, not {max_steps}")
    for name, value in (("tolerance", tolerance), ("unique", unique)):
        if not value > 0:
            raise ArgumentError(f"`{name}` must be positive, not {value}")
    return _slow_points(cell, params, x, starts=starts, max_steps=max_steps, tolerance=tolerance, unique=unique)


class _Search(NamedTuple):
    """State of one search."""

    s: Float[Array, " n"]
    q: Float[Array, ""]
    gradient: Float[Array, " n"]
    optimizer: optax.OptState
    iterations: Int[Array, ""]
    stuck: Bool[Array, ""]


@compiled("cell", "max_steps")
def _slow_points(
    cell: Cell,
    params: Tree,
    xs: Float[Array, "P D"],
    *,
    starts: Tree,
    max_steps: int,
    tolerance: float | Array,
    unique: float | Array,
) -> SlowPoints:
    dtype, unravel = cell.spec.param_dtype, from_vector(cell)
    params, xs, starts = jax.lax.stop_gradient((params, xs, starts))
    prepared, zs = cell.prepare(params), cell.input_projection(params, xs)
    tolerance, unique = jnp.asarray(tolerance, dtype), jnp.asarray(unique, dtype)
    least = jnp.minimum(tolerance, jnp.asarray(FIXED, dtype))
    optimizer = optax.lbfgs(memory_size=MEMORY)

    def search(start: Array, z: Array) -> _Search:
        def q(s: Array) -> Array:
            return 0.5 * jnp.square(to_vector(cell.step(prepared, unravel(s), z)) - s).sum()

        def unfinished(at: _Search) -> Array:
            moving = norm(at.gradient) > STATIONARY * jnp.sqrt(2 * at.q)
            return (at.q > least) & moving & ~at.stuck & (at.iterations < max_steps)

        def descend(at: _Search) -> _Search:
            update, state = optimizer.update(at.gradient, at.optimizer, at.s, value=at.q, grad=at.gradient, value_fn=q)
            s = at.s + jnp.asarray(update, dtype)
            value, gradient = jax.value_and_grad(q)(s)
            lower = value < at.q  # False for NaN
            state = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), state, at.optimizer)
            new = _Search(s, value, gradient, state, at.iterations + 1, ~lower)
            kept = at._replace(iterations=at.iterations + 1, stuck=jnp.ones((), bool))
            return jax.tree.map(lambda new, old: jnp.where(lower, new, old), new, kept)

        value, gradient = jax.value_and_grad(q)(start)
        first = _Search(
            start, value, gradient, optimizer.init(start), jnp.zeros((), jnp.int32), jnp.logical_not(value < jnp.inf)
        )
        return jax.lax.while_loop(unfinished, descend, first)

    rows = jax.vmap(to_vector)(starts)
    with jax.numpy_dtype_promotion("standard"):  # which optax relies on
        last = jax.vmap(search)(rows, zs)
    centre = rows.mean(axis=0, keepdims=True)
    spread = norm(rows - centre).mean()
    converged = last.q <= tolerance
    return SlowPoints(
        states=jax.vmap(unravel)(last.s),
        q=last.q,
        speed=jnp.sqrt(2 * last.q),
        converged=converged,
        outlier=norm(last.s - centre) > OUTLIER_DISTANCES * spread,
        iterations=last.iterations,
        distance=jnp.where(converged, unique / 2, jnp.asarray(jnp.inf, dtype)),
    )
