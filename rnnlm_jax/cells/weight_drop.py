"""Weight drop: recurrent weights that are zero for a whole batch."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.cells.cell import Cell, check_rate
from rnnlm_jax.cells.combinators import Bidirectional, Directions, Stack
from rnnlm_jax.errors import ArgumentError


def weight_drop(cell: Cell, params: Any, rate: float, key: Key) -> Any:
    """Return parameters with recurrent weights dropped (DropConnect; Merity et al. 2018, section 2).

        Ŵ = M ⊙ W / (1 - p),    M_ij ~ Bernoulli(1 - p)

    for every matrix that the cell declares in ``CellFacts.recurrent_matrices``, and of a stack for every layer. One
    mask serves all steps and sequences that the result is used for. Only parameters change, so that any executor runs
    the cell as before; the gradient of W goes through the mask. For evaluation use the parameters themselves.

    Args:
        cell: a cell, a stack, or a bidirectional pair.
        params: its parameters.
        rate: p, in [0, 1).
        key: random key.

    Raises:
        ArgumentError: if the rate is not in [0, 1), or a cell has no recurrent matrix or does not declare it.
    """
    check_rate("rate", rate)
    if isinstance(cell, Stack):
        layers = enumerate(zip(cell.layers, params, strict=True))
        return tuple(weight_drop(layer, part, rate, jax.random.fold_in(key, k)) for k, (layer, part) in layers)
    if isinstance(cell, Bidirectional):
        keys = jax.random.split(key)
        return Directions(
            weight_drop(cell.forward, params.forward, rate, keys[0]),
            weight_drop(cell.backward, params.backward, rate, keys[1]),
        )
    names = recurrent_matrices(cell)
    keys = jax.random.split(key, len(names))
    dropped = {name: _dropped(getattr(params, name), rate, k) for name, k in zip(names, keys, strict=True)}
    return params._replace(**dropped)


def recurrent_matrices(cell: Cell) -> tuple[str, ...]:
    """Return the names of a cell's recurrent matrices among its parameters.

    Raises:
        ArgumentError: if it does not declare them, or has none.
    """
    names = cell.facts.recurrent_matrices
    if names is None:
        raise ArgumentError(
            f"this {cell.spec.kind} cell does not declare its `recurrent_matrices`, whose weights are to be dropped: "
            "give them to its CellFacts"
        )
    if not names:
        raise ArgumentError(
            f"a {cell.spec.kind} cell has no recurrent matrix whose weights could be dropped: use another cell"
        )
    return names


def _dropped(w: Tree, rate: float, key: Key) -> Array:
    # Drawn in float32: the same key draws the same mask with and without JAX_ENABLE_X64.
    keep = jax.random.bernoulli(key, jnp.asarray(1.0 - rate, jnp.float32), w.shape)
    return jnp.where(keep, w / (1.0 - rate), jnp.zeros((), w.dtype))
