"""The reference executor: ``jax.lax.scan`` over the cell's step, short and plain, right for every cell."""

from collections.abc import Callable

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
    are read from the stacked states after it; from states that are matrices they are read in the loop, so that a
    forward pass does not keep all states. A masked step keeps the state.
    """
    zs = cell.input_projection(params, xs)
    options = {"reverse": reverse, "scan_unroll": scan_unroll}
    if has_matrix_state(cell):

        def read(after: Tree, z: Array) -> Array:
            return cell.output(params, after, z)

        return _scan(cell, params, zs, control, state, read=read, **options)
    final, states = scan_states(cell, params, zs, control, state, **options)
    return final, cell.output(params, states, zs)


def has_matrix_state(cell: Cell) -> bool:
    """Return whether a part of the state is a matrix for each head, ``[heads, keys, values]``."""
    return any(leaf.ndim > 2 for leaf in jax.tree.leaves(jax.eval_shape(lambda: cell.initial_state(()))))


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

    def read(after: Tree, z: Array) -> Tree:
        return after

    return _scan(cell, params, zs, control, state, read=read, reverse=reverse, scan_unroll=scan_unroll)


def _scan(
    cell: Cell,
    params: Tree,
    zs: Float[Array, "T B GH"],
    control: Control,
    state: Tree,
    *,
    read: Callable[[Tree, Array], Tree],
    reverse: bool,
    scan_unroll: int,
) -> tuple[Tree, Tree]:
    """Return the state after the last step, and what is read of the state after every step."""
    fresh = None if control.resets is None else cell.initial_state((zs.shape[1],))

    def body(state: Tree, inputs: tuple[Array, Control]) -> tuple[Tree, Tree]:
        z, (mask, resets) = inputs
        before = state if resets is None else select(resets, fresh, state)
        after = cell.step(params, before, z)
        if mask is not None:
            after = select(mask, after, state)
        return after, read(after, z)

    return jax.lax.scan(body, state, (zs, control), reverse=reverse, unroll=scan_unroll)
