"""The states of a cell over time: the points at which step Jacobians are taken."""

from typing import NamedTuple

import jax

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell


class Trajectory(NamedTuple):
    """States over time, each part ``[T, *B, ·]``: ``s_0 … s_{T-1}`` (``before`` each step), ``s_1 … s_T``."""

    before: Tree
    after: Tree


def trajectory(cell: Cell, params: Tree, state: Tree, zs: Float[Array, "T *B GH"]) -> Trajectory:
    """Every state that a cell goes through, ``s_t = step(s_{t-1}, z_t)`` from ``state = s_0``.

    Args:
        cell: any cell that can be stepped.
        params: its parameters.
        state: the state before the first step, ``[*B, ·]``.
        zs: the projected inputs, ``input_projection(params, xs)``.
    """

    def step(state: Tree, z: Array) -> tuple[Tree, tuple[Tree, Tree]]:
        after = cell.step(params, state, z)
        return after, (state, after)

    return Trajectory(*jax.lax.scan(step, state, zs)[1])
