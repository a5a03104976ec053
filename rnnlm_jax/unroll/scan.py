"""The reference executor: ``jax.lax.scan`` over the cell's step, short and plain, right for every cell."""

import jax

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.unroll.control import Control, select


def scan(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    *,
    reverse: bool = False,
    scan_unroll: int = 1,
) -> tuple[Tree, Float[Array, "T B H"]]:
    """Run a cell over time, ``s_t = step(s_{t-1}, input_projection(x_t))``, ``h_t = output(s_t)``; an ``ExecutorFn``.

    What does not depend on the recurrence is outside the loop: inputs are projected as one product before it, outputs
    are read from the stacked states after it. A masked step keeps the state.
    """
    zs = cell.input_projection(params, xs)
    final, states = scan_states(cell, params, zs, control, state, reverse=reverse, scan_unroll=scan_unroll)
    return final, cell.output(params, states, zs)


def scan_states(
    cell: Cell,
    params: Tree,
    zs: Float[Array, "T B GH"],
    control: Control,
    state: Tree,
    *,
    reverse: bool = False,
    scan_unroll: int = 1,
) -> tuple[Tree, Tree]:
    """Return the state after the last step, and the states after every step, leaves ``[T, B, ·]``."""
    fresh = None if control.resets is None else cell.initial_state((zs.shape[1],))

    def body(state: Tree, inputs: tuple[Array, Control]) -> tuple[Tree, Tree]:
        z, (mask, resets) = inputs
        before = state if resets is None else select(resets, fresh, state)
        after = cell.step(params, before, z)
        if mask is not None:
            after = select(mask, after, state)
        return after, after

    return jax.lax.scan(body, state, (zs, control), reverse=reverse, unroll=scan_unroll)
