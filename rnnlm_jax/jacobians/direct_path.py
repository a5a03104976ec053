"""The direct path of a cell: the derivative of each unit's new state with respect to its own old state.

For the c of an LSTM this is the constant error carousel (Hochreiter & Schmidhuber 1997).
"""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Passed, Stack


def direct_path(cell: Cell, params: Tree, states_before: Tree, zs: Float[Array, "*B GH"]) -> Tree:
    """Return ``∂s_t/∂s_{t-1}`` of each unit with respect to itself, with the recurrent product r held constant.

    For an LSTM's c it is the forget gate (1 without one), for a GRU's h the update gate, and 0 for an Elman cell and
    for an LSTM's h. It costs one jvp of ``update`` per part of the state.

    Args:
        cell: any cell.
        params: its parameters.
        states_before: ``s_{t-1}``, ``[*B, ·]`` with any leading axes, time among them.
        zs: the projected inputs, with the same leading axes.

    Returns:
        a state whose leaves are the derivatives ``[*B, ·]``; None for the leaves of a layer that does not split, which
        has no recurrent product to hold constant.
    """
    if isinstance(cell, Stack):
        return _direct_path_of_stack(cell, params, states_before, zs)
    if cell.recurrent_projection is None or cell.update is None:
        return jax.tree.map(lambda part: None, states_before)
    update, r = cell.update, cell.recurrent_projection(params, states_before)
    parts, structure = jax.tree.flatten(states_before)
    derivatives = []
    for k, part in enumerate(parts):

        def updated_part(value: Array, k: int = k) -> Array:
            state = structure.unflatten([*parts[:k], value, *parts[k + 1 :]])
            return jax.tree.leaves(update(params, state, zs, r))[k]

        derivatives.append(jax.jvp(updated_part, (part,), (jnp.ones_like(part),))[1])
    return structure.unflatten(derivatives)


def _direct_path_of_stack(stack: Stack, params: Tree, states: Tree, zs: Array) -> Tree:
    """Return the direct path of each layer, computed upwards, since a layer reads the outputs of the one below."""
    layers: list[Tree] = []
    passed: Passed | None = None
    for layer, layer_params, state in zip(stack.layers, params, states, strict=True):
        zs = zs if passed is None else layer.input_projection(layer_params, passed.below)
        layers.append(direct_path(layer, layer_params, state, zs))
        h = layer.output(layer_params, layer.step(layer_params, state, zs), zs)
        passed = stack.passed(h, passed)
    return tuple(layers)
