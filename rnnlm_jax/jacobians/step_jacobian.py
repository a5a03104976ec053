"""The Jacobian of one step of time, ``J_t = ∂s_t / ∂s_{t-1}``, of the full state; rows are outputs.

Three ways to the same matrix: structured, from the cell's ``update`` and ``recurrent_projection``; by automatic differentiation, for any
cell; and as an operator that is never formed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians.arguments import one_input
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.state_vector import from_vector, state_size, to_vector
from rnnlm_jax.unroll.unroll import check_state


class StepOperator(NamedTuple):
    """``J`` without the matrix: ``jvp(v) = J v`` and ``vjp(u) = Jᵀ u``, each at the cost of about one step."""

    jvp: Callable[[Float[Array, " n"]], Float[Array, " n"]]
    vjp: Callable[[Float[Array, " n"]], Float[Array, " n"]]


def step_jacobian(cell: Cell, params: Tree, state: Tree, x: Float[Array, " D"]) -> Float[Array, "n n"]:
    """``∂s_t / ∂s_{t-1}`` at a state and an input: structured where the cell splits, by autodiff where it does not.

    Raises:
        UserError: if the state or the input has batch axes (``vmap`` over them), or does not fit the cell.
    """
    x = one_input(cell, x)
    check_state(cell, state, ())
    return _step_jacobian(cell, params, state, x)


@compiled("cell")
def _step_jacobian(cell: Cell, params: Tree, state: Tree, x: Array) -> Array:
    return jacobian_of(cell, params)(state, cell.input_projection(params, x))


def jacobian_of(cell: Cell, params: Tree) -> Callable[[Tree, Array], Float[Array, "n n"]]:
    """``(state, z) -> ∂s_t / ∂s_{t-1}`` for many steps: what does not depend on the step is computed once."""
    if not cell.splits:
        return lambda state, z: autodiff_jacobian(cell, params, state, z)
    mixing = mixing_matrix(cell, params)
    return lambda state, z: structured_jacobian(cell, params, state, z, mixing)


def autodiff_jacobian(cell: Cell, params: Tree, state: Tree, z: Array) -> Float[Array, "n n"]:
    """The Jacobian of any cell by forward mode: n tangents through one step, O(n·H²)."""
    return jax.jacfwd(_vector_step(cell, params, z))(to_vector(state))


def step_operator(cell: Cell, params: Tree, state: Tree, z: Array) -> StepOperator:
    """The Jacobian of any cell as a pair of products.

    Raises:
        UserError: if the state or the projected input has batch axes (``vmap`` over them), or does not fit the cell.
    """
    z = one_input(cell, z)
    check_state(cell, state, ())
    _, jvp = jax.linearize(_vector_step(cell, params, z), to_vector(state))
    transpose = jax.linear_transpose(jvp, to_vector(state))
    return StepOperator(jvp, lambda u: transpose(u)[0])


def structured_jacobian(
    cell: Cell, params: Tree, state: Tree, z: Array, mixing: Float[Array, "GH n"] | None = None
) -> Float[Array, "n n"]:
    """The Jacobian of a cell that splits, in O(H·n) for a given ``mixing``.

    ``update`` is elementwise over units, so a tangent of ones in one part of the state, or in one gate, gives the whole
    diagonal of a block; ``recurrent_projection`` is linear, so its matrix does not depend on the state:

        J = D_state + D_r · ∂recurrent_projection/∂s.

    Args:
        cell: a cell with ``recurrent_projection`` and ``update``.
        params: its parameters.
        state: the state before the step, unbatched.
        z: the projected input.
        mixing: ``mixing_matrix(cell, params)``, if it is at hand.

    Raises:
        UserError: if the cell does not split.
    """
    if cell.recurrent_projection is None or cell.update is None:
        raise UserError(f"a {cell.spec.kind} cell does not split: use autodiff_jacobian")
    update, units = cell.update, cell.spec.hidden_size
    mixing = mixing_matrix(cell, params) if mixing is None else mixing
    size, unravel = state_size(cell), from_vector(cell)
    r = cell.recurrent_projection(params, state)

    def vector_update(s: Array, r: Array) -> Array:
        return to_vector(update(params, unravel(s), z.astype(r.dtype), r))

    def block_diagonals(of: int, length: int) -> Array:
        """``[length/H, n]``: the derivative of every output with respect to its own unit of each block."""
        tangents = jnp.repeat(jnp.eye(length // units, dtype=mixing.dtype), units, axis=1)
        point = (to_vector(state), r)

        def push(tangent: Array) -> Array:
            directions = [jnp.zeros_like(part) for part in point]
            directions[of] = tangent.astype(point[of].dtype)
            return jax.jvp(vector_update, point, tuple(directions))[1]

        return jax.vmap(push)(tangents)

    d_state = block_diagonals(0, size).reshape(size // units, size // units, units)  # [from, to, unit]
    d_r = block_diagonals(1, r.shape[-1]).reshape(-1, size // units, units)  # [gate, to, unit]
    through_mix = jnp.einsum("gau,gun->aun", d_r, mixing.reshape(-1, units, size)).reshape(size, size)
    direct = jnp.einsum("bau,uv->aubv", d_state, jnp.eye(units, dtype=d_state.dtype)).reshape(size, size)
    return direct + through_mix


def mixing_matrix(cell: Cell, params: Tree) -> Float[Array, "GH n"]:
    """The matrix of ``recurrent_projection``, ``∂r/∂s``: the same at every step, so it is formed once a sequence."""
    assert cell.recurrent_projection is not None
    recurrent_projection, unravel = cell.recurrent_projection, from_vector(cell)
    basis = jnp.eye(state_size(cell), dtype=cell.spec.param_dtype)
    return jax.vmap(lambda s: recurrent_projection(params, unravel(s)), out_axes=1)(basis)


def _vector_step(cell: Cell, params: Tree, z: Array) -> Callable[[Array], Array]:
    unravel = from_vector(cell)
    return lambda s: to_vector(cell.step(params, unravel(s), z))
