"""The arrays of one layer in one direction: a library's, by name, to ours, by field, and back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.weights.conventions import SYSTEMS, Convention

MATRICES, VECTORS = ("w_x", "w_h"), ("b", "b_h")


class LayerPosition(NamedTuple):
    """A layer, counted from 0, and a direction: 0 the only one, 1 forward, 2 backward."""

    layer: int
    direction: int


class Sizes(NamedTuple):
    """The numbers of inputs, of units, and of recurrent outputs (H, except for a projection)."""

    inputs: int
    hidden: int
    feedback: int


def names(row: Convention, field: str, position: LayerPosition) -> tuple[str, ...]:
    """Return the library's names of the arrays of a field at a position."""
    system = SYSTEMS[row.system]
    layer = "" if system.layer is None else system.layer[position.layer > 0].format(position.layer)
    direction = "" if system.direction is None else system.direction[position.direction]
    return tuple(name.format(layer=layer, direction=direction) for name in getattr(row, field))


def fields(row: Convention, biases: bool = True) -> list[str]:
    """Return the fields that a row has names for; without ``biases``, those of arrays that are not optional."""
    optional = {name for field in row.optional for name in getattr(row, field)}
    every = [field for field in (*MATRICES, *VECTORS, "b_n", "w_p") if getattr(row, field)]
    return [field for field in every if biases or not optional.issuperset(getattr(row, field))]


def all_names(row: Convention, position: LayerPosition, biases: bool = True) -> list[str]:
    """Return every name of a layer in a direction, once, in the library's order."""
    return list(dict.fromkeys(name for field in fields(row, biases) for name in names(row, field, position)))


def shapes(
    row: Convention, position: LayerPosition, sizes: Sizes, *, biases: bool = True
) -> dict[str, tuple[int, ...]]:
    """Return the shape that each array must have."""
    expected: dict[str, tuple[int, ...]] = {}
    rows = {"w_x": sizes.inputs, "w_h": sizes.feedback}
    for field in fields(row, biases):
        called = names(row, field, position)
        width = len(row.gates) * sizes.hidden // len(called)
        for name in called:
            if field in rows:
                above = expected.get(name, (0,))
                height = above[-1 if row.transposed else 0] + rows[field]
                expected[name] = (width, height) if row.transposed else (height, width)
            elif field == "w_p":
                shape = (sizes.hidden, sizes.feedback)
                expected[name] = shape[::-1] if row.transposed else shape
            elif field == "b_n":
                expected[name] = (sizes.hidden,)
            else:
                expected[name] = (2, width) if name in expected else (width,)
    return expected


def read(
    row: Convention, arrays: Mapping[str, np.ndarray], position: LayerPosition, *, sizes: Sizes, biases: bool
) -> dict[str, np.ndarray]:
    """Return our ``w_x``, ``w_h``, ``w_p``, ``b``, ``b_n`` from checked arrays; fields that they lack are left out."""
    found: dict[str, Any] = {}
    for field in fields(row, biases):
        parts = [arrays[name] for name in names(row, field, position)]
        if field in MATRICES + VECTORS:
            parts = [_field_part(row, field, part, sizes=sizes) for part in parts]
        if field in (*MATRICES, "w_p") and row.transposed:
            parts = [part.T for part in parts]
        whole = np.concatenate(parts, axis=-1)
        found[field] = whole if field in ("w_p", "b_n") else _to_our_gates(row, whole)
    if "b" in found:
        for gate, constant in row.added:
            found["b"] = found["b"].copy()
            _gate(row, found["b"], gate)[...] += np.asarray(constant, found["b"].dtype)
    second = found.pop("b_h", None)
    if second is not None and ("reset", ("after",)) in row.variant:
        found["b_n"] = _gate(row, second, "n").copy()
        second = second.copy()
        _gate(row, second, "n")[...] = 0
    if second is not None:  # b + 0 is b to the bit, also where b is -0
        found["b"] = np.where(second == 0, found["b"], found["b"] + second)
    return found


def write(
    row: Convention, ours: Mapping[str, np.ndarray], position: LayerPosition, *, biases: bool
) -> dict[str, np.ndarray]:
    """Return the library's arrays of our ``w_x``, ``w_h``, ``b``, and of ``w_p``, ``b_n`` where the row has them.

    Raises:
        WeightsError: if one block of theirs would have to hold two different gates of ours.
    """
    ours = dict(ours)
    for gate, constant in row.added:
        ours["b"] = ours["b"].copy()
        _gate(row, ours["b"], gate)[...] -= np.asarray(constant, ours["b"].dtype)
    if row.b_h:
        ours["b_h"] = np.zeros_like(ours["b"])
        if "b_n" in ours:
            _gate(row, ours["b_h"], "n")[...] = ours["b_n"]
    found: dict[str, Any] = {}
    for field in fields(row, biases):
        whole = ours[field] if field in ("w_p", "b_n") else _to_their_gates(row, ours[field], field)
        called = names(row, field, position)
        for name, part in zip(called, np.split(whole, len(called), axis=-1), strict=True):
            if field in MATRICES and name in found:
                part = np.concatenate([found[name], part])
            elif field in VECTORS and name in found:
                part = np.stack([found[name], part])
            elif field in (*MATRICES, "w_p") and row.transposed:
                part = part.T
            found[name] = np.array(part, order="C")  # a copy, so that the caller may write to it
    return found


def _field_part(row: Convention, field: str, array: np.ndarray, *, sizes: Sizes) -> np.ndarray:
    """Return the part of an array that belongs to a field, where one array holds two fields."""
    if row.w_x == row.w_h and field in MATRICES:
        return array[: sizes.inputs] if field == "w_x" else array[sizes.inputs :]
    if row.b == row.b_h:
        return array[VECTORS.index(field)] if field in VECTORS else array
    return array


def _signed(row: Convention, gate: str, block: np.ndarray) -> np.ndarray:
    return -block if gate in row.negated else block


def _to_our_gates(row: Convention, whole: np.ndarray) -> np.ndarray:
    """Return the blocks of all gates in our order, with our signs."""
    blocks = dict(zip(row.gates, np.split(whole, len(row.gates), axis=-1), strict=True))
    found = [next(block for letters, block in blocks.items() if gate in letters) for gate in row.our_gates]
    return np.concatenate([_signed(row, g, b) for g, b in zip(row.our_gates, found, strict=True)], axis=-1)


def _to_their_gates(row: Convention, whole: np.ndarray, field: str) -> np.ndarray:
    """Return the blocks of all gates in their order, with their signs."""
    gates = row.our_gates
    blocks = dict(zip(gates, np.split(whole, len(gates), axis=-1), strict=True))
    for letters in row.gates:
        if any(not np.array_equal(blocks[letters[0]], blocks[gate], equal_nan=True) for gate in letters):
            raise WeightsError(
                f"{row.title} has one gate for {' and '.join(letters)} of {row.cell}, which differ in {field}: "
                "use another kind"
            )
    return np.concatenate([_signed(row, letters[0], blocks[letters[0]]) for letters in row.gates], axis=-1)


def _gate(row: Convention, whole: np.ndarray, gate: str) -> np.ndarray:
    """Return the block of one of our gates, as a view."""
    gates = row.our_gates
    size = whole.shape[-1] // len(gates)
    start = gates.index(gate) * size
    return whole[..., start : start + size]
