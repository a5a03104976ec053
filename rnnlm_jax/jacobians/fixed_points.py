"""Fixed points of a cell under a constant input, and the eigenvalues of the step Jacobian at them.

Trained networks keep memories at fixed points and have slow dynamics near them (Sussillo & Barak 2013). An eigenvalue
of modulus one belongs to a direction in which a memory neither decays nor grows.
"""

from typing import NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian, recurrent_projection_matrix, structured_jacobian
from rnnlm_jax.cells.state_vector import from_vector, to_vector
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import (
    check_at_least_32_bits,
    check_state_batch,
    inputs_of_states,
    on_host,
    one_input,
    result_dtype,
)
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.step_jacobian import step_jacobian

#: Number of step lengths that the line search tries: 1, ½, ¼, … of the Newton step.
STEP_LENGTHS = 24

#: The line search takes the longest step that reduces ``‖F‖`` by this part of its linear prediction (Armijo 1966).
SUFFICIENT_DECREASE = 1e-4

#: States whose residual exceeds this multiple of the tolerance are not at a fixed point; it defines ``distance``.
DISTANCE_TOLERANCE = 2


class FixedPoints(NamedTuple):
    """Results of P searches for a zero of ``F(s) = step(s, x) - s``."""

    states: Tree
    """Leaves ``[P, ·]``: the fixed points; for a search that did not converge, the state at which it stopped."""
    residual: Float[Array, " P"]
    """Largest entry of ``|F|``."""
    converged: Bool[Array, " P"]
    """Whether the residual is within the tolerance."""
    iterations: Int[Array, " P"]
    """Number of Newton steps."""
    distance: Float[Array, " P"]
    """Estimate of the distance to the exact fixed point: how far residuals stay within twice the tolerance along the
    right singular vector of ``J - I`` for its least singular value, to a factor of two and at most 2. At a simple fixed
    point it is about ``2 tolerance ‖(J - I)⁻¹‖``; at a multiple one, where ``J - I`` is singular, it is much larger. It
    is inf for a search that did not converge."""


class PointsWithDistance(Protocol):
    """Results of P searches, a NamedTuple of arrays ``[P, ...]``: ``FixedPoints`` or ``SlowPoints``."""

    @property
    def states(self) -> Tree:
        """Leaves ``[P, ·]``."""
        ...

    @property
    def converged(self) -> Bool[Array, " P"]:
        """Whether each search has converged."""
        ...

    @property
    def distance(self) -> Float[Array, " P"]:
        """How far each point may be from where the exact one is."""
        ...


Points = TypeVar("Points", bound=PointsWithDistance)


class _Search(NamedTuple):
    """State of one search."""

    s: Float[Array, " n"]
    f: Float[Array, " n"]
    iterations: Int[Array, ""]
    stuck: Bool[Array, ""]


def fixed_points(
    cell: Cell,
    params: Tree,
    x: Float[Array, " D"] | ArrayLike,
    *,
    starts: Tree,
    max_steps: int = 100,
    tolerance: float | None = None,
) -> FixedPoints:
    """Solve ``s = step(s, x)`` for the full state from P starts, by Newton's method with a line search on ``‖F‖``.

        F(s) = step(s, x) - s,    (J(s) - I) Δ = -F(s),    s ← s + 2^-m Δ

    It finds stable and unstable fixed points. A search ends when it converges, when no length of its step reduces
    ``‖F‖`` (at a local minimum, or where J has an eigenvalue 1), or after ``max_steps``. A step costs O(n³) and
    ``STEP_LENGTHS`` steps of the cell.

    Derivatives of the states, in either mode, are those of the implicit function, ``(I - J)⁻¹ ∂step``, with respect to
    the parameters and x. They are 0 with respect to the starts, for a search that has not converged, and where
    ``I - J`` is singular.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        x: the constant input.
        starts: states to start from, leaves ``[P, ·]``: random ones, or states that the cell has visited.
        max_steps: largest number of Newton steps of a search.
        tolerance: residual at which a search has converged; 100 ε of the state's dtype by default.

    Raises:
        ArgumentError: if ``max_steps`` or ``tolerance`` is not positive, or x or the starts do not fit the cell.
    """
    check_at_least_32_bits(cell)
    x, starts = one_input(cell, x), check_state_batch(cell, starts)
    if max_steps < 1:
        raise ArgumentError(f"`max_steps` must be at least 1, not {max_steps}")
    if tolerance is not None and not tolerance > 0:
        raise ArgumentError(f"`tolerance` must be positive, not {tolerance}")
    tolerance = 100 * float(jnp.finfo(cell.spec.param_dtype).eps) if tolerance is None else tolerance
    return _fixed_points(cell, params, x, starts=starts, max_steps=max_steps, tolerance=tolerance)


@compiled("cell", "max_steps")
def _fixed_points(
    cell: Cell, params: Tree, x: Array, *, starts: Tree, max_steps: int, tolerance: float | Array
) -> FixedPoints:
    dtype = cell.spec.param_dtype
    tolerance = jnp.asarray(tolerance, dtype)
    differentiable, unravel = (params, cell.input_projection(params, x)), from_vector(cell)
    (params, z), starts = jax.lax.stop_gradient((differentiable, starts))
    matrix = recurrent_projection_matrix(cell, params) if cell.splits else None
    lengths = jnp.asarray(0.5 ** np.arange(STEP_LENGTHS), dtype)
    radii = jnp.asarray(0.5 ** np.arange(jnp.finfo(dtype).nmant, -1, -1), dtype)

    def difference(s: Array) -> Array:
        return to_vector(cell.step(params, unravel(s), z)) - s

    def unfinished(at: _Search) -> Array:
        return (jnp.abs(at.f).max() > tolerance) & (at.iterations < max_steps) & ~at.stuck

    def newton(at: _Search) -> _Search:
        step = jnp.linalg.solve(jacobian(at.s) - jnp.eye(at.s.size, dtype=dtype), -at.f)
        trials = at.s[None, :] + lengths[:, None] * step[None, :]
        values = jax.vmap(difference)(trials)
        allowed = (1 - SUFFICIENT_DECREASE * lengths) * norm(at.f)
        lower = norm(values) < allowed  # False for NaN
        longest = jnp.argmax(lower)
        stuck = ~lower.any()
        return _Search(
            jnp.where(stuck, at.s, trials[longest]),
            jnp.where(stuck, at.f, values[longest]),
            at.iterations + jnp.logical_not(stuck).astype(jnp.int32),
            stuck,
        )

    def jacobian(s: Array) -> Array:
        if matrix is not None:
            return structured_jacobian(cell, params, unravel(s), z, recurrent_matrix=matrix)
        return autodiff_jacobian(cell, params, unravel(s), z)

    def distance_within_tolerance(s: Array) -> Array:
        """Return twice the largest ½ᵏ up to which residuals on one side stay within ``DISTANCE_TOLERANCE``."""
        weakest = jnp.linalg.svd(jacobian(s) - jnp.eye(s.size, dtype=dtype))[2][-1]
        trials = s[None, None, :] + radii[:, None, None] * jnp.stack([weakest, -weakest])[None]
        residuals = jnp.abs(jax.vmap(jax.vmap(difference))(trials)).max(axis=2)
        within = jnp.cumprod((residuals <= DISTANCE_TOLERANCE * tolerance).astype(jnp.int32), axis=0).any(axis=1)
        return 2 * jnp.where(within, radii, radii[0]).max()

    def with_implicit_derivative(s: Array, converged: Array) -> Array:
        """Return s with the derivative of a fixed point, ``(I - J)⁻¹ ∂step``: that of one Newton step from s."""
        params, z = differentiable
        after = to_vector(cell.step(params, unravel(s), z))
        inverse = jnp.linalg.inv(jnp.eye(s.size, dtype=dtype) - jacobian(s))
        inverse = jnp.where(converged & jnp.isfinite(inverse).all(), inverse, jnp.zeros((), dtype))
        return s + inverse @ (after - jax.lax.stop_gradient(after))

    def search(start: Tree) -> FixedPoints:
        s = to_vector(start)
        first = _Search(s, difference(s), jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        last = jax.lax.while_loop(unfinished, newton, first)
        residual = jnp.abs(last.f).max()
        converged = residual <= tolerance
        distance = jnp.where(converged, distance_within_tolerance(last.s), jnp.asarray(jnp.inf, dtype))
        return FixedPoints(
            unravel(with_implicit_derivative(last.s, converged)), residual, converged, last.iterations, distance
        )

    return jax.vmap(search)(starts)


def fixed_point_eigenvalues(
    cell: Cell, params: Tree, x: Float[Array, "*P D"] | ArrayLike, *, states: Tree
) -> np.ndarray:
    """Return the eigenvalues of the step Jacobian at each of P states, complex ``[P, n]``, by descending modulus.

    They are computed on the host, in NumPy, since accelerators do not compute eigenvalues of non-symmetric matrices.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        x: the constant input ``[D]`` of all, or one for each, ``[P, D]``.
        states: leaves ``[P, ·]``, such as ``fixed_points(...).states``.

    Raises:
        ArgumentError: if x or the states do not fit the cell, or a Jacobian is not finite; under a jax transformation.
    """
    states = check_state_batch(cell, states)
    matrices = _jacobians(cell, params, inputs_of_states(cell, x, states), states)
    on_host(matrices, "eigenvalues are computed")
    if not np.isfinite(matrices).all():
        raise ArgumentError("a step Jacobian is not finite: it has no eigenvalues")
    matrices = np.asarray(matrices, result_dtype(matrices.dtype))
    values = np.linalg.eigvals(matrices).astype(np.result_type(matrices.dtype, np.complex64))
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=1, kind="stable"), axis=1)


@compiled("cell")
def _jacobians(cell: Cell, params: Tree, xs: Array, states: Tree) -> Float[Array, "P n n"]:
    return jax.vmap(lambda state, x: step_jacobian(cell, params, state, x))(states, xs)


def distinct(points: Points, tolerance: float = 1e-6) -> Points:
    """Return the converged fixed or slow points without duplicates.

    They are counted on the host, since their number is data-dependent. Two points are duplicates if no entry differs
    by more than the sum of their ``distance``, or ``tolerance`` if that is larger; the first of them is kept.

    Raises:
        ArgumentError: under a jax transformation.
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
