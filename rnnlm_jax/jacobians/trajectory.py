"""The states of a cell over time, at which step Jacobians are evaluated."""

from typing import NamedTuple

import jax

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell


class Trajectory(NamedTuple):
    """States over time, leaves ``[T, *B, ·]``."""

    before: Tree
    """``s_0 … s_{T-1}``, the state before each step."""
    after: Tree
    """``s_1 … s_T``."""


def trajectory(cell: Cell, params: Tree, state: Tree, zs: Float[Array, "T *B GH"]) -> Trajectory:
    """Return the states ``s_t = step(s_{t-1}, z_t)`` for t = 1 … T from ``s_0 = state``.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, ``[*B, ·]``.
        zs: the projected inputs, ``input_projection(params, xs)``.
    """

    params = cell.prepare(params)

    def step(state: Tree, z: Array) -> tuple[Tree, tuple[Tree, Tree]]:
        after = cell.step(params, state, z)
        return after, (state, after)

    return Trajectory(*jax.lax.scan(step, state, zs)[1])
