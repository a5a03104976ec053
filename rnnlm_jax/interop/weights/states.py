"""Recurrent states of another library as ours, and back: order of h and c, one axis for all layers, or a list."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Bidirectional, Cell, Directions, ElmanState, GRUState, LSTMState, Stack
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights.choose_convention import describe, layers_of, parts_of, rows_of_cell
from rnnlm_jax.interop.weights.conventions import SYSTEMS

FIELDS = {"h": "hidden", "c": "cell"}
STATES = {"elman": ElmanState, "gru": GRUState, "lstm": LSTMState, "lstm-projected": LSTMState}


def load_state(system: str, cell: Cell, state: Any) -> Tree:
    """The state of our cell that a state of another library is.

    Args:
        system: as in ``load``.
        cell: the cell.
        state: torch: h, or (h, c), each ``[layers * directions, B, H]``; linen and nnx: (c, h); haiku: an
            ``LSTMState``, or h, and for several layers a tuple of those; equinox: (h, c); keras: a list.

    Raises:
        UserError: if its parts are not those of the cell, or the cell is a projected LSTM, whose own state torch does
            not keep.
    """
    has, order, layers = _of(system, cell)
    flat = [part for layer in layers for part in layer]
    if cell_kind(cell) == "lstm-projected":
        raise UserError(
            f"{system} keeps an LSTM's state after its projection, ours is the one before, which that does not tell: "
            "start from cell.initial_state"
        )
    if has.state_axis:
        arrays = _arrays(state)
        wrong = len(arrays) != len(order) or any(a.ndim < 2 or a.shape[0] != len(flat) for a in arrays)
        pieces = [] if wrong else [[array[k] for array in arrays] for k in range(len(flat))]
    else:
        per_layer = _sequence(state) if has.layer is not None and len(layers) > 1 else [state]
        leaves = [leaf for part in per_layer for leaf in _arrays(part)]
        pieces = [leaves[k : k + len(order)] for k in range(0, len(leaves), len(order))]
        wrong = len(leaves) != len(order) * len(flat)
    widths = [part.spec.hidden_size for part in flat]
    if wrong or any(a.shape[-1:] != (h,) for h, piece in zip(widths, pieces, strict=True) for a in piece):
        raise UserError(f"this is no state that {system} has of {describe(cell)}: {_shape_of(system, cell)}")
    made = iter(
        STATES[part.spec.kind](
            **{FIELDS[o]: jnp.asarray(a, part.spec.param_dtype) for o, a in zip(order, piece, strict=True)}
        )
        for part, piece in zip(flat, pieces, strict=True)
    )

    def one(layer: Cell) -> Tree:
        return Directions(next(made), next(made)) if isinstance(layer, Bidirectional) else next(made)

    return tuple(one(layer) for layer in cell.layers) if isinstance(cell, Stack) else one(cell)


def dump_state(system: str, cell: Cell, state: Tree, params: Tree = None) -> Any:
    """A state of our cell as another library's, in NumPy arrays laid out as ``load_state`` takes them.

    haiku's is a tuple (h, c): ``haiku.LSTMState(*state)``.

    Args:
        system: as in ``load``.
        cell: the cell.
        state: its state.
        params: its parameters, which a projected LSTM's state is projected with.

    Raises:
        UserError: if the library has no such cell, the state is not the cell's, or parameters are needed and not given.
    """
    has, order, layers = _of(system, cell)
    projected = cell_kind(cell) == "lstm-projected"
    if projected and params is None:
        raise UserError(f"{system} keeps an LSTM's state after its projection: give params too")
    flat = []
    for layer, weights in zip(parts_of(cell, state), parts_of(cell, params), strict=True):
        for (part, values), (_, p) in zip(layer, weights, strict=True):
            if not isinstance(values, STATES[part.spec.kind]):
                raise UserError(f"this is no state of {describe(cell)}: give what unroll or initial_state gave")
            found = {letter: np.asarray(getattr(values, FIELDS[letter])) for letter in order}
            if projected:
                found["h"] = found["h"] @ np.asarray(p.w_p)
            flat.append([found[letter] for letter in order])
    if has.state_axis:
        stacked = tuple(np.stack([piece[k] for piece in flat]) for k in range(len(order)))
        return stacked if len(order) > 1 else stacked[0]
    if has.listed:
        return [array for piece in flat for array in piece]
    each = [tuple(piece) if len(piece) > 1 else piece[0] for piece in flat]
    return tuple(each) if len(layers) > 1 else each[0]


def _sequence(part: Any) -> Any:
    return part if isinstance(part, tuple | list) else (part,)


def _arrays(part: Any) -> list[np.ndarray]:
    """The arrays of a layer's state; of what has none, one of no shape, which fits nothing."""
    try:
        return [np.asarray(leaf) for leaf in _sequence(part)]
    except (TypeError, ValueError, RuntimeError):
        return [np.zeros(())]


def cell_kind(cell: Cell) -> str:
    """The kind of its layers."""
    return layers_of(cell)[0][0].spec.kind


def _of(system: str, cell: Cell) -> tuple[Any, str, list[list[Cell]]]:
    rows_of_cell(system, cell)  # refuses what the library does not have
    has = SYSTEMS[system]
    return has, has.state if cell_kind(cell).startswith("lstm") else "h", layers_of(cell)


def _shape_of(system: str, cell: Cell) -> str:
    has, order, layers = _of(system, cell)
    parts = sum(len(layer) for layer in layers)
    hidden = layers[0][0].spec.hidden_size
    if has.state_axis:
        return f"it would be {' and '.join(order)} of shape ({parts}, B, {hidden})"
    return f"it would be {' and '.join(order)} of shape (B, {hidden}){f', {parts} times' * (parts > 1)}"
