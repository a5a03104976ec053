"""The direct, linear pass-through of a cell: how each unit's state hands itself on, all other ways shut."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Stack


def direct_path(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> Tree:
    """``∂s_t/∂s_{t-1}`` of each unit with itself, the recurrent product r held fixed.

    For an LSTM's c it is the forget gate (the constant error carousel of Hochreiter & Schmidhuber 1997: 1 without one);
    for a GRU's h the update gate; for an Elman cell, or an LSTM's h, nothing.

    Args:
        cell: any cell.
        params: its parameters.
        states_before: ``s_{t-1}``, ``[*B, ·]`` with any leading axes, time among them.
        zs: the projected inputs, with the same leading axes.

    Returns:
        a state whose parts are the slopes ``[*B, H]``; None for a layer that does not split, whose recurrent product
        cannot be held fixed.
    """
    if isinstance(cell, Stack):
        return _of_stack(cell, params, states_before, zs)
    if cell.recurrent_projection is None or cell.update is None:
        return jax.tree.map(lambda part: None, states_before)
    update, r = cell.update, cell.recurrent_projection(params, states_before)
    parts, structure = jax.tree.flatten(states_before)
    slopes = []
    for k, part in enumerate(parts):

        def of_part(value: Array, k: int = k) -> Array:
            held = structure.unflatten([*parts[:k], value, *parts[k + 1 :]])
            return jax.tree.leaves(update(params, held, zs, r))[k]

        slopes.append(jax.jvp(of_part, (part,), (jnp.ones_like(part),))[1])
    return structure.unflatten(slopes)


def _of_stack(stack: Stack, params: Tree, states: Tree, zs: Array) -> Tree:
    """Layer by layer, each on the outputs of the one below."""
    found, below = [], None
    for layer, layer_params, state in zip(stack.layers, params, states, strict=True):
        zs = zs if below is None else layer.input_projection(layer_params, below)
        found.append(direct_path(layer, layer_params, state, zs))
        h = layer.readout(layer_params, layer.step(layer_params, state, zs))
        below = h if below is None or not stack.residual else h + below
    return tuple(found)
