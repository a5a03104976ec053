"""Fixed points of a cell under a constant input, and the step Jacobian's eigenvalues there.

They are where memories are kept and what slow dynamics linger at (Sussillo & Barak 2013): an eigenvalue of modulus one
is a memory that neither fades nor grows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import check_factored, check_start_states, on_host, one_input, result_dtype
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.norms import norm
from rnnlm_jax.jacobians.state_vector import from_vector, to_vector
from rnnlm_jax.jacobians.step_jacobian import autodiff_jacobian, mixing_matrix, step_jacobian, structured_jacobian

#: The line search tries the Newton step, its half, its quarter, …, so many lengths in all.
STEP_LENGTHS = 24

#: The line search takes the longest step that lowers ``‖F‖`` by this part of what its slope promises (Armijo 1966).
SUFFICIENT_DECREASE = 1e-4

#: Beyond so many times the tolerance a residual says that a state is no longer at the fixed point beside it.
BEYOND = 2


class FixedPoints(NamedTuple):
    """Where each of P starts ended, ``F(s) = step(s, x) - s`` there, and whether that is a fixed point."""

    states: Tree
    """Parts ``[P, ·]``; of a start that did not converge, where its search stopped."""
    residual: Float[Array, " P"]
    """The largest entry of ``|F|``."""
    converged: Bool[Array, " P"]
    """Whether the residual is within the tolerance."""
    iterations: Int[Array, " P"]
    """Newton steps taken."""
    distance: Float[Array, " P"]
    """How far the fixed point may lie: so far along the weakest direction of ``J - I``, to a factor of two and at most
    2, residuals stay within twice the tolerance. For a simple fixed point that is about ``2 tolerance ‖(J - I)⁻¹‖``, at
    a multiple one, where ``J - I`` is singular, much more. Inf of a start that did not converge."""


class _Search(NamedTuple):
    s: Float[Array, " n"]
    f: Float[Array, " n"]
    iterations: Int[Array, ""]
    stuck: Bool[Array, ""]


def fixed_points(
    cell: Cell,
    params: Tree,
    x: Float[Array, " D"],
    starts: Tree,
    max_steps: int = 100,
    tolerance: float | None = None,
) -> FixedPoints:
    """Solve ``s = step(s, x)`` for the full state from many starts, by Newton's method with a line search on ``‖F‖``.

        (J(s) - I) Δ = -F(s),    s ← s + 2^-m Δ

    It finds stable and unstable points alike; another start finds another. A search ends when it converges, when no
    length of its step lowers ``‖F‖`` (a local minimum, or a Jacobian with an eigenvalue 1), or after ``max_steps``.

    Derivatives of the states, in either mode, are those of the implicit function, ``(I - J)⁻¹ ∂step``: with respect to
    the parameters and x. They are 0 with respect to the starts, where a search has not converged, and where ``I - J``
    is singular.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        x: the constant input.
        starts: states to start from, parts ``[P, ·]``: random ones, or states that the cell has visited.
        max_steps: most Newton steps a start.
        tolerance: the residual at which a search has converged; 100 ε of the state's dtype unless given.

    Raises:
        UserError: if ``max_steps`` or ``tolerance`` is not positive, or x or the starts do not fit the cell.
    """
    check_factored(cell)
    x, starts = one_input(cell, x), check_start_states(cell, starts)
    if max_steps < 1:
        raise UserError(f"max_steps must be at least 1, not {max_steps}")
    if tolerance is not None and not tolerance > 0:
        raise UserError(f"tolerance must be positive, not {tolerance}")
    enough = 100 * float(jnp.finfo(cell.spec.param_dtype).eps) if tolerance is None else tolerance
    return _fixed_points(cell, params, x, starts, max_steps, enough)


@compiled("cell", "max_steps")
def _fixed_points(
    cell: Cell, params: Tree, x: Array, starts: Tree, max_steps: int, enough: float | Array
) -> FixedPoints:
    dtype = cell.spec.param_dtype
    enough = jnp.asarray(enough, dtype)
    given, unravel = (params, cell.input_projection(params, x)), from_vector(cell)
    (params, z), starts = jax.lax.stop_gradient((given, starts))
    mixing = mixing_matrix(cell, params) if cell.splits else None
    lengths = jnp.asarray(0.5 ** np.arange(STEP_LENGTHS), dtype)
    radii = jnp.asarray(0.5 ** np.arange(jnp.finfo(dtype).nmant, -1, -1), dtype)

    def difference(s: Array) -> Array:
        return to_vector(cell.step(params, unravel(s), z)) - s

    def unfinished(at: _Search) -> Array:
        return (jnp.abs(at.f).max() > enough) & (at.iterations < max_steps) & ~at.stuck

    def newton(at: _Search) -> _Search:
        step = jnp.linalg.solve(jacobian(at.s) - jnp.eye(at.s.size, dtype=dtype), -at.f)
        trials = at.s[None, :] + lengths[:, None] * step[None, :]
        values = jax.vmap(difference)(trials)
        allowed = (1 - SUFFICIENT_DECREASE * lengths) * norm(at.f)
        lower = norm(values) < allowed  # never where it is NaN
        longest = jnp.argmax(lower)
        stuck = ~lower.any()
        return _Search(
            jnp.where(stuck, at.s, trials[longest]),
            jnp.where(stuck, at.f, values[longest]),
            at.iterations + jnp.logical_not(stuck).astype(jnp.int32),
            stuck,
        )

    def jacobian(s: Array) -> Array:
        if mixing is not None:
            return structured_jacobian(cell, params, unravel(s), z, mixing)
        return autodiff_jacobian(cell, params, unravel(s), z)

    def reach(s: Array) -> Array:
        """Twice the longest of the lengths ½ᵏ up to which residuals on a side are not beyond the tolerance."""
        weakest = jnp.linalg.svd(jacobian(s) - jnp.eye(s.size, dtype=dtype))[2][-1]
        trials = s[None, None, :] + radii[:, None, None] * jnp.stack([weakest, -weakest])[None]
        residuals = jnp.abs(jax.vmap(jax.vmap(difference))(trials)).max(axis=2)
        within = jnp.cumprod((residuals <= BEYOND * enough).astype(jnp.int32), axis=0).any(axis=1)
        return 2 * jnp.where(within, radii, radii[0]).max()

    def moving(s: Array, converged: Array) -> Array:
        """s, with the derivative of a fixed point, ``(I - J)⁻¹ ∂step``: of one Newton step from it."""
        params, z = given
        after = to_vector(cell.step(params, unravel(s), z))
        inverse = jnp.linalg.inv(jnp.eye(s.size, dtype=dtype) - jacobian(s))
        inverse = jnp.where(converged & jnp.isfinite(inverse).all(), inverse, jnp.zeros((), dtype))
        return s + inverse @ (after - jax.lax.stop_gradient(after))

    def search(start: Tree) -> FixedPoints:
        s = to_vector(start)
        first = _Search(s, difference(s), jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        last = jax.lax.while_loop(unfinished, newton, first)
        residual = jnp.abs(last.f).max()
        converged = residual <= enough
        distance = jnp.where(converged, reach(last.s), jnp.asarray(jnp.inf, dtype))
        return FixedPoints(unravel(moving(last.s, converged)), residual, converged, last.iterations, distance)

    return jax.vmap(search)(starts)


def fixed_point_eigenvalues(cell: Cell, params: Tree, x: Float[Array, " D"], states: Tree) -> np.ndarray:
    """Eigenvalues of the step Jacobian at each of P states, complex ``[P, n]``, the largest modulus first.

    On the host, in NumPy: accelerators have no eigenvalues of non-symmetric matrices.
    """
    matrices = _jacobians(cell, params, one_input(cell, x), check_start_states(cell, states))
    on_host(matrices, "eigenvalues are computed")
    if not np.isfinite(matrices).all():
        raise UserError("a step Jacobian is not finite: it has no eigenvalues")
    matrices = np.asarray(matrices, result_dtype(matrices.dtype))
    values = np.linalg.eigvals(matrices).astype(np.result_type(matrices.dtype, np.complex64))
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=1, kind="stable"), axis=1)


@compiled("cell")
def _jacobians(cell: Cell, params: Tree, x: Array, states: Tree) -> Float[Array, "P n n"]:
    return jax.vmap(lambda state: step_jacobian(cell, params, state, x))(states)


def distinct(points: FixedPoints, tolerance: float = 1e-6) -> FixedPoints:
    """Those that converged, each once: the first of any that are the same as far as their residuals can say.

    Two are the same if no entry differs by more than ``tolerance``, or than their two distances. On the host: how many
    are left depends on the numbers.
    """
    on_host(points, "points are counted")
    rows = np.concatenate([np.asarray(part) for part in jax.tree.leaves(points.states)], axis=1)
    distance = np.asarray(points.distance)
    kept: list[int] = []
    for row in np.flatnonzero(points.converged):
        apart = np.abs(rows[kept] - rows[row]).max(axis=1)
        if (apart > np.maximum(distance[kept] + distance[row], tolerance)).all():
            kept.append(int(row))
    index = np.asarray(kept, np.int32)
    return jax.tree.map(lambda part: part[index], points)
