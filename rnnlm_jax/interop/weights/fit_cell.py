"""Parameters that belong to a cell, and those that can be made to."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Cell, Directions, Stack
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.fitting import fitted, input_size_of, shapes_of
from rnnlm_jax.interop.weights.choose_convention import describe, layers_of, parts_of


class Loaded(NamedTuple):
    """A cell and its parameters."""

    cell: Cell
    params: Tree


def own_arrays(cell: Cell, params: Tree) -> dict[str, Any]:
    """The parameters of one layer in one direction by field, NumPy arrays or None.

    Raises:
        UserError: if they are not the cell's, as to fields, shapes or what is an array at all.
    """
    wanted = shapes_of(cell.init, input_size_of(cell, params))
    found = fitted(wanted, params, describe(cell))
    return {name: None if leaf is None else np.asarray(leaf) for name, leaf in found._asdict().items()}


def fit(cell: Cell, loaded: Loaded, title: str) -> Tree:
    """Loaded parameters as those of a given cell, in its type: a bias that only one of the two has must be zero.

    Raises:
        UserError: if the cells differ, naming both.
    """
    theirs, ours = parts_of(loaded.cell, loaded.params), layers_of(cell)
    same = [[(p.spec.kind, p.spec.hidden_size, p.spec.output_size) for p in layer] for layer in ours]
    if same != [[(p.spec.kind, p.spec.hidden_size, p.spec.output_size) for p, _ in layer] for layer in theirs]:
        raise UserError(f"{title}: these are the weights of {describe(loaded.cell)}, not of {describe(cell)}")
    layers = [
        [_fit_one(part, values, title) for part, (_, values) in zip(layer, found, strict=True)]
        for layer, found in zip(ours, theirs, strict=True)
    ]
    together = [layer[0] if len(layer) == 1 else Directions(*layer) for layer in layers]
    return tuple(together) if isinstance(cell, Stack) else together[0]


def _fit_one(cell: Cell, params: Any, title: str) -> Any:
    found = params._asdict()
    for name, leaf in shapes_of(cell.init, params.w_x.shape[0])._asdict().items():
        if leaf is None and found[name] is not None:
            if np.any(found[name]):
                raise UserError(f"{title}: {name} is not zero, and the given {cell.spec.kind} has none: give it one")
            found[name] = None
        elif leaf is not None and found[name] is None:
            found[name] = jnp.zeros(leaf.shape, leaf.dtype)
        elif leaf is not None:
            found[name] = jnp.asarray(found[name], leaf.dtype)
    return type(params)(**found)
