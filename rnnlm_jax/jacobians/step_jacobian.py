"""The Jacobian of one step, ``J_t = ∂s_t / ∂s_{t-1}``, of the full state; rows are outputs.

There are three ways to it: structured, from the cell's ``update`` and ``recurrent_projection``; by automatic
differentiation, for any cell; and as a pair of products, without a matrix.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_vector import from_vector, state_size, to_vector
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.arguments import one_input
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.unroll.unroll import check_state


class StepOperator(NamedTuple):
    """The products ``jvp(v) = J v`` and ``vjp(u) = Jᵀ u``, each at the cost of about one step of the cell."""

    jvp: Callable[[Float[Array, " n"]], Float[Array, " n"]]
    vjp: Callable[[Float[Array, " n"]], Float[Array, " n"]]


def step_jacobian(cell: Cell, params: Tree, state: Tree, x: Float[Array, " D"] | ArrayLike) -> Float[Array, "n n"]:
    """Return ``J_t = ∂s_t / ∂s_{t-1}`` of the full state at ``s_{t-1}`` and ``x_t``.

    It costs O(H·n) for a cell with an elementwise ``update`` (see ``structured_jacobian``), beside O(n·H²) once for the
    matrix of its recurrent projection, and n tangents through one step, O(n·H²), for any other cell.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: ``s_{t-1}``, unbatched.
        x: ``x_t``.

    Raises:
        ArgumentError: if the state or the input has batch axes (``vmap`` over them), or does not fit the cell.
    """
    x = one_input(cell, x)
    check_state(cell, state, ())
    return _step_jacobian(cell, params, state, x)


@compiled("cell")
def _step_jacobian(cell: Cell, params: Tree, state: Tree, x: Array) -> Array:
    return jacobian_function(cell, params)(state, cell.input_projection(params, x))


def jacobian_function(cell: Cell, params: Tree) -> Callable[[Tree, Array], Float[Array, "n n"]]:
    """Return ``(state, z) -> ∂s_t / ∂s_{t-1}`` for many steps; what does not depend on the step is computed once."""
    if not cell.splits:
        return lambda state, z: autodiff_jacobian(cell, params, state, z)
    matrix = recurrent_projection_matrix(cell, params)
    return lambda state, z: structured_jacobian(cell, params, state, z, recurrent_matrix=matrix)


def autodiff_jacobian(cell: Cell, params: Tree, state: Tree, z: Array) -> Float[Array, "n n"]:
    """Return the Jacobian of any cell by forward mode: n tangents through one step, O(n·H²)."""
    return jax.jacfwd(_vector_step(cell, params, z))(to_vector(state))


def step_operator(cell: Cell, params: Tree, state: Tree, z: Array) -> StepOperator:
    """Return the Jacobian of any cell as a pair of products.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the step, unbatched.
        z: the projected input.

    Raises:
        ArgumentError: if state or projected input have batch axes (``vmap`` over them), or do not fit the cell.
    """
    z = one_input(cell, z)
    check_state(cell, state, ())
    _, jvp = jax.linearize(_vector_step(cell, params, z), to_vector(state))
    transpose = jax.linear_transpose(jvp, to_vector(state))
    return StepOperator(jvp, lambda u: transpose(u)[0])


def structured_jacobian(
    cell: Cell, params: Tree, state: Tree, z: Array, *, recurrent_matrix: Float[Array, "GH n"] | None = None
) -> Float[Array, "n n"]:
    """Return the Jacobian of a cell with ``recurrent_projection`` and ``update``, in O(H·n) for a given matrix.

        s_t = update(s_{t-1}, z_t, r),  r = R s_{t-1}:    J_t = ∂update/∂s + (∂update/∂r) R

    ``update`` is elementwise over units, so each block of its two derivatives is diagonal, and a jvp with ones in one
    part of the state, or in one gate, gives the diagonals of all blocks of a column. R is the constant matrix of
    ``recurrent_projection``.

    Args:
        cell: a cell with ``recurrent_projection`` and ``update``.
        params: its parameters.
        state: the state before the step, unbatched.
        z: the projected input.
        recurrent_matrix: R, if it has been computed (see ``recurrent_projection_matrix``).

    Raises:
        ArgumentError: if the cell does not split.
    """
    if cell.recurrent_projection is None or cell.update is None:
        raise ArgumentError(f"`cell` ({cell.spec.kind}) does not split into two maps: use autodiff_jacobian")
    update, units = cell.update, cell.spec.hidden_size
    matrix = recurrent_projection_matrix(cell, params) if recurrent_matrix is None else recurrent_matrix
    size, unravel = state_size(cell), from_vector(cell)
    r = cell.recurrent_projection(params, state)

    def vector_update(s: Array, r: Array) -> Array:
        return to_vector(update(params, unravel(s), z.astype(r.dtype), r))

    def block_diagonals(argument: int, length: int) -> Array:
        """Return ``[length/H, n]``: the derivative of every output with respect to its own unit of each block."""
        tangents = jnp.repeat(jnp.eye(length // units, dtype=matrix.dtype), units, axis=1)
        point = (to_vector(state), r)

        def jvp(tangent: Array) -> Array:
            directions = [jnp.zeros_like(part) for part in point]
            directions[argument] = tangent.astype(point[argument].dtype)
            return jax.jvp(vector_update, point, tuple(directions))[1]

        return jax.vmap(jvp)(tangents)

    d_state = block_diagonals(0, size).reshape(size // units, size // units, units)  # [from, to, unit]
    d_r = block_diagonals(1, r.shape[-1]).reshape(-1, size // units, units)  # [gate, to, unit]
    recurrent = jnp.einsum("gau,gun->aun", d_r, matrix.reshape(-1, units, size)).reshape(size, size)
    direct = jnp.einsum("bau,uv->aubv", d_state, jnp.eye(units, dtype=d_state.dtype)).reshape(size, size)
    return direct + recurrent


def recurrent_projection_matrix(cell: Cell, params: Tree) -> Float[Array, "GH n"]:
    """Return ``R = ∂r/∂s``, the matrix of ``recurrent_projection``, which is the same at every step."""
    assert cell.recurrent_projection is not None
    recurrent_projection, unravel = cell.recurrent_projection, from_vector(cell)
    basis = jnp.eye(state_size(cell), dtype=cell.spec.param_dtype)
    return jax.vmap(lambda s: recurrent_projection(params, unravel(s)), out_axes=1)(basis)


def _vector_step(cell: Cell, params: Tree, z: Array) -> Callable[[Array], Array]:
    unravel = from_vector(cell)
    return lambda s: to_vector(cell.step(params, unravel(s), z))
