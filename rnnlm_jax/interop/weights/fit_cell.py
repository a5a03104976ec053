"""Parameters of a cell as arrays, and loaded parameters as those of a given cell."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Cell, Directions, Stack
from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.parameter_trees import fit_tree, input_size_of, shapes_of
from rnnlm_jax.interop.weights.choose_convention import describe, layers_of, parts_of


class Loaded(NamedTuple):
    """A cell and its parameters."""

    cell: Cell
    params: Tree


def arrays_by_field(cell: Cell, params: Tree) -> dict[str, Any]:
    """Return the parameters of one layer in one direction by field, as NumPy arrays or None.

    Raises:
        WeightsError: if their fields, shapes or types are not the cell's.
    """
    expected = shapes_of(cell.init, input_size_of(cell, params))
    found = fit_tree(expected, params, describe(cell))
    return {name: None if leaf is None else np.asarray(leaf) for name, leaf in found._asdict().items()}


def fit_to_cell(cell: Cell, loaded: Loaded, title: str) -> Tree:
    """Return loaded parameters as those of a given cell, in its dtype; a bias that only one of them has must be zero.

    Raises:
        WeightsError: if the cells differ, naming both.
    """
    theirs, ours = parts_of(loaded.cell, loaded.params), layers_of(cell)
    if [[_identity(part) for part in layer] for layer in ours] != [
        [_identity(part) for part, _ in layer] for layer in theirs
    ]:
        raise WeightsError(f"{title}: these are the weights of {describe(loaded.cell)}, not of {describe(cell)}")
    layers = [
        [_fit_direction(part, values, title) for part, (_, values) in zip(layer, found, strict=True)]
        for layer, found in zip(ours, theirs, strict=True)
    ]
    params = [layer[0] if len(layer) == 1 else Directions(*layer) for layer in layers]
    return tuple(params) if isinstance(cell, Stack) else params[0]


def _identity(cell: Cell) -> tuple[str, int, int]:
    return cell.spec.kind, cell.spec.hidden_size, cell.spec.output_size


def _fit_direction(cell: Cell, params: Any, title: str) -> Any:
    found = params._asdict()
    for name, leaf in shapes_of(cell.init, params.w_x.shape[0])._asdict().items():
        if leaf is None and found[name] is not None:
            if np.any(found[name]):
                raise WeightsError(f"{title}: {name} is not zero, and the given {cell.spec.kind} does not have it")
            found[name] = None
        elif leaf is not None and found[name] is None:
            found[name] = jnp.zeros(leaf.shape, leaf.dtype)
        elif leaf is not None:
            found[name] = jnp.asarray(found[name], leaf.dtype)
    return type(params)(**found)
