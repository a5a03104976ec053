"""The Jacobian of one step, ``J_t = ∂s_t / ∂s_{t-1}``, of the full state; rows are outputs.

There are four ways to it: from the blocks that a cell declares; structured, from the cell's ``update`` and
``recurrent_projection``; by automatic differentiation, for any cell; and as a pair of products, without a matrix.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.state_jacobian import (
    autodiff_jacobian,
    jacobian_blocks,
    recurrent_projection_matrix,
    structured_jacobian,
    vector_step,
)
from rnnlm_jax.cells.state_vector import to_vector
from rnnlm_jax.jacobians.arguments import one_input
from rnnlm_jax.jacobians.compiled import compiled
from rnnlm_jax.jacobians.declared_blocks import declared_blocks, matrix_of_blocks
from rnnlm_jax.unroll.unroll import check_state


class StepOperator(NamedTuple):
    """The products ``jvp(v) = J v`` and ``vjp(u) = Jᵀ u``, each at the cost of about one step of the cell."""

    jvp: Callable[[Float[Array, " n"]], Float[Array, " n"]]
    vjp: Callable[[Float[Array, " n"]], Float[Array, " n"]]


def step_jacobian(cell: Cell, params: Tree, state: Tree, x: Float[Array, " D"] | ArrayLike) -> Float[Array, "n n"]:
    """Return ``J_t = ∂s_t / ∂s_{t-1}`` of the full state at ``s_{t-1}`` and ``x_t``.

    A cell that declares a diagonal Jacobian, or blocks of m numbers, takes m tangents through one step; all other
    entries are exact zeros. Otherwise it costs O(H·n) for a cell with an elementwise ``update`` (see
    ``structured_jacobian``), beside O(n·H²) once for the matrix of its recurrent projection, and n tangents through one
    step, O(n·H²), for any other cell.

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
    blocks = declared_blocks(cell)
    if blocks is not None:
        return lambda state, z: matrix_of_blocks(blocks, jacobian_blocks(cell, params, state, z))
    if not cell.splits:
        return lambda state, z: autodiff_jacobian(cell, params, state, z)
    matrix = recurrent_projection_matrix(cell, params)
    return lambda state, z: structured_jacobian(cell, params, state, z, recurrent_matrix=matrix)


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
    _, jvp = jax.linearize(vector_step(cell, params, z), to_vector(state))
    transpose = jax.linear_transpose(jvp, to_vector(state))
    return StepOperator(jvp, lambda u: transpose(u)[0])
