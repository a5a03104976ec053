"""The Jacobian of one step of a cell, as a matrix or as the blocks of its declared structure; rows are outputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.cell_facts import JacobianStructure
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.cells.state_vector import from_vector, state_size, to_vector
from rnnlm_jax.errors import ArgumentError


def jacobian_blocks(cell: Cell, params: Tree, states: Tree, zs: Float[Array, "*B GH"]) -> Float[Array, "*B N m m"]:
    """Return ``∂s_t/∂s_{t-1}`` at many states at once, as the N blocks of ``state_blocks(cell)``.

    A cell with blocks of m numbers needs m tangents through the step, whatever its size; a dense cell that splits needs
    O(H n) operations a step (see ``structured_jacobian``).

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        states: the states before the steps, leaves ``[*B, ·]``.
        zs: the projected inputs of the steps.
    """
    blocks = state_blocks(cell)
    if cell.facts.jacobian is JacobianStructure.DENSE and cell.splits:
        matrix, batch = recurrent_projection_matrix(cell, params), zs.shape[:-1]

        def one(state: Tree, z: Array) -> Array:
            return structured_jacobian(cell, params, state, z, recurrent_matrix=matrix)

        for _ in batch:
            one = jax.vmap(one)
        return one(states, zs)[..., None, :, :]
    basis = jnp.eye(blocks.size, dtype=cell.spec.param_dtype)
    point = blocks.join(states)

    def column(direction: Array) -> Array:
        tangent = blocks.split(jnp.broadcast_to(direction, point.shape))
        return blocks.join(jax.jvp(lambda state: cell.step(params, state, zs), (states,), (tangent,))[1])

    return jax.vmap(column, out_axes=-1)(basis)


def jacobian_diagonals(cell: Cell, params: Tree, states: Tree, zs: Float[Array, "*B GH"]) -> Float[Array, "*B N m"]:
    """Return the diagonals of ``jacobian_blocks``, without forming dense matrices.

    A dense cell that splits needs one tangent a gate and part of the state; any other dense cell needs n tangents, one
    after the other.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        states: the states before the steps, leaves ``[*B, ·]``.
        zs: the projected inputs of the steps.
    """
    blocks = state_blocks(cell)
    if cell.facts.jacobian is not JacobianStructure.DENSE:
        return jnp.diagonal(jacobian_blocks(cell, params, states, zs), axis1=-2, axis2=-1)
    if cell.splits:
        return _separable_diagonal(cell, params, states, zs)[..., None, :]
    point = blocks.join(states)

    def entry(k: Array) -> Array:
        direction = jnp.zeros(blocks.size, point.dtype).at[k].set(1)
        tangent = blocks.split(jnp.broadcast_to(direction, point.shape))
        column = blocks.join(jax.jvp(lambda state: cell.step(params, state, zs), (states,), (tangent,))[1])
        return jax.lax.dynamic_index_in_dim(column, k, axis=-1, keepdims=False)

    return jnp.moveaxis(jax.lax.map(entry, jnp.arange(blocks.size, dtype=jnp.int32)), 0, -1)


def _separable_diagonal(cell: Cell, params: Tree, states: Tree, zs: Array) -> Float[Array, "*B n"]:
    """Return the diagonal of ``∂update/∂s + (∂update/∂r) R`` over the numbers of the state."""
    assert cell.update is not None
    assert cell.recurrent_projection is not None
    update, units, blocks = cell.update, cell.spec.hidden_size, state_blocks(cell)
    parts = blocks.size // units
    point = (blocks.join(states)[..., 0, :], cell.recurrent_projection(params, states))

    def vector_update(s: Array, r: Array) -> Array:
        return blocks.join(update(params, blocks.split(s[..., None, :]), zs.astype(r.dtype), r))[..., 0, :]

    def derivatives(argument: int) -> Float[Array, "_ *B P H"]:
        """Return the derivatives of every number with respect to its own unit of each part or gate."""
        count = point[argument].shape[-1] // units

        def along(direction: Array) -> Array:
            directions = [jnp.zeros_like(each) for each in point]
            directions[argument] = jnp.broadcast_to(jnp.repeat(direction, units), point[argument].shape)
            moved = jax.jvp(vector_update, point, tuple(directions))[1]
            return moved.reshape(*moved.shape[:-1], parts, units)

        return jax.vmap(along)(jnp.eye(count, dtype=point[argument].dtype))

    d_state = jnp.diagonal(derivatives(0), axis1=0, axis2=-2)  # of each part by itself: [*B, H, P]
    matrix = recurrent_projection_matrix(cell, params).reshape(-1, units, parts, units)
    own = jnp.diagonal(matrix, axis1=1, axis2=3)  # [G, P, H]
    total = jnp.swapaxes(d_state, -1, -2) + jnp.einsum("g...pu,gpu->...pu", derivatives(1), own)
    return total.reshape(*total.shape[:-2], blocks.size)


def autodiff_jacobian(cell: Cell, params: Tree, state: Tree, z: Array) -> Float[Array, "n n"]:
    """Return the Jacobian of any cell by forward mode: n tangents through one step, O(n·H²)."""
    return jax.jacfwd(vector_step(cell, params, z))(to_vector(state))


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


def vector_step(cell: Cell, params: Tree, z: Array) -> Callable[[Array], Array]:
    """Return the step as a function of the state as a vector."""
    unravel = from_vector(cell)
    return lambda s: to_vector(cell.step(params, unravel(s), z))
