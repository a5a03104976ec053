"""Recurrent states of another library as ours, and back: the order of h and c, one axis for all layers, or a list."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Bidirectional, Cell, Directions, Stack
from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.weights.choose_convention import describe, layers_of, parts_of, rows_of_cell
from rnnlm_jax.interop.weights.conventions import CELL_KINDS, SYSTEMS, System

FIELDS = {"h": "hidden", "c": "cell"}


class _StateLayout(NamedTuple):
    """How a library lays out the state of a cell."""

    system: System
    order: str  # of h and c
    layers: list[list[Cell]]
    kind: str  # of all layers

    @property
    def cells(self) -> list[Cell]:
        """Return the cells of all layers and directions."""
        return [part for layer in self.layers for part in layer]


def load_state(system: str, cell: Cell, state: Any) -> Tree:
    """Return the state of a cell from a state of another library.

    Args:
        system: as in ``load``.
        cell: the cell.
        state: torch: h, or (h, c), each ``[layers * directions, B, H]``; linen and nnx: (c, h); haiku: an
            ``LSTMState``, or h, and for several layers a tuple of those; equinox: (h, c); keras: a list.

    Raises:
        WeightsError: if its parts are not those of the cell, or the cell is a projected LSTM, of which torch keeps the
            state after the projection.
    """
    has, order, layers, kind = layout = _layout_of(system, cell)
    parts = layout.cells
    if kind == "lstm-projected":
        raise WeightsError(
            f"{system} keeps an LSTM's state after its projection, which does not determine the one before it: "
            "start from cell.initial_state"
        )
    if has.state_axis:
        arrays = _arrays(state)
        wrong = len(arrays) != len(order) or any(a.ndim < 2 or a.shape[0] != len(parts) for a in arrays)
        pieces = [] if wrong else [[array[k] for array in arrays] for k in range(len(parts))]
    else:
        per_layer = _sequence(state) if has.layer is not None and len(layers) > 1 else [state]
        leaves = [leaf for part in per_layer for leaf in _arrays(part)]
        pieces = [leaves[k : k + len(order)] for k in range(0, len(leaves), len(order))]
        wrong = len(leaves) != len(order) * len(parts)
    widths = [part.spec.hidden_size for part in parts]
    if wrong or any(a.shape[-1:] != (h,) for h, piece in zip(widths, pieces, strict=True) for a in piece):
        raise WeightsError(f"`state` is not a {system} state of {describe(cell)}: {_describe_layout(layout)}")
    states = iter(
        CELL_KINDS[part.spec.kind].state(
            **{FIELDS[o]: jnp.asarray(a, part.spec.param_dtype) for o, a in zip(order, piece, strict=True)}
        )
        for part, piece in zip(parts, pieces, strict=True)
    )

    def one(layer: Cell) -> Tree:
        return Directions(next(states), next(states)) if isinstance(layer, Bidirectional) else next(states)

    return tuple(one(layer) for layer in cell.layers) if isinstance(cell, Stack) else one(cell)


def dump_state(system: str, cell: Cell, state: Tree, *, params: Tree = None) -> Any:
    """Return a state of a cell as another library's, in NumPy arrays laid out as ``load_state`` takes them.

    haiku's is a tuple (h, c): ``haiku.LSTMState(*state)``.

    Args:
        system: as in ``load``.
        cell: the cell.
        state: its state.
        params: its parameters, which a projected LSTM's state is projected with.

    Raises:
        WeightsError: if the library has no such cell, the state is not the cell's, or parameters are missing.
    """
    has, order, layers, kind = _layout_of(system, cell)
    projected = kind == "lstm-projected"
    if projected and params is None:
        raise WeightsError(f"{system} keeps an LSTM's state after its projection: give `params` too")
    pieces = []
    for layer, weights in zip(parts_of(cell, state), parts_of(cell, params), strict=True):
        for (part, values), (_, p) in zip(layer, weights, strict=True):
            if not isinstance(values, CELL_KINDS[part.spec.kind].state):
                raise WeightsError(f"`state` is not a state of {describe(cell)}: give one that unroll returned")
            found = {letter: np.asarray(getattr(values, FIELDS[letter])) for letter in order}
            if projected:
                found["h"] = found["h"] @ np.asarray(p.w_p)
            pieces.append([found[letter] for letter in order])
    if has.state_axis:
        stacked = tuple(np.stack([piece[k] for piece in pieces]) for k in range(len(order)))
        return stacked if len(order) > 1 else stacked[0]
    if has.listed:
        return [array for piece in pieces for array in piece]
    each = [tuple(piece) if len(piece) > 1 else piece[0] for piece in pieces]
    return tuple(each) if len(layers) > 1 else each[0]


def _sequence(part: Any) -> Any:
    return part if isinstance(part, tuple | list) else (part,)


def _arrays(part: Any) -> list[np.ndarray]:
    """Return the arrays of a layer's state; for anything else, one without axes, which fits nothing."""
    try:
        return [np.asarray(leaf) for leaf in _sequence(part)]
    except (TypeError, ValueError, RuntimeError):
        return [np.zeros(())]


def _layout_of(system: str, cell: Cell) -> _StateLayout:
    rows_of_cell(system, cell)  # raises for a cell that the library does not have
    layers = layers_of(cell)
    kind = layers[0][0].spec.kind
    return _StateLayout(SYSTEMS[system], SYSTEMS[system].state if kind.startswith("lstm") else "h", layers, kind)


def _describe_layout(layout: _StateLayout) -> str:
    count, hidden = len(layout.cells), layout.cells[0].spec.hidden_size
    names = " and ".join(layout.order)
    if layout.system.state_axis:
        return f"it would be {names} of shape ({count}, B, {hidden})"
    return f"it would be {names} of shape (B, {hidden}){f', {count} times' * (count > 1)}"
