"""Checks of arrays against a convention, and the sizes that they imply."""

import difflib
from collections.abc import Mapping

import numpy as np

from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.weights import layout
from rnnlm_jax.interop.weights.conventions import SYSTEMS, Convention
from rnnlm_jax.interop.weights.layout import LayerPosition, Sizes
from rnnlm_jax.interop.weights.named_arrays import list_names

Arrays = Mapping[str, np.ndarray]


def find_layers(row: Convention, arrays: Arrays) -> list[list[LayerPosition]]:
    """Return the layers that arrays belong to, each as its directions; the first layer at least."""
    system = SYSTEMS[row.system]

    def exists(position: LayerPosition) -> bool:
        return any(name in arrays for name in layout.all_names(row, position))

    two = system.direction is not None and exists(LayerPosition(0, 2))
    directions = (1, 2) if two else (0,)
    found = [[LayerPosition(0, d) for d in directions]]
    while system.layer is not None and exists(LayerPosition(len(found), directions[0])):
        found.append([LayerPosition(len(found), d) for d in directions])
    return found


def has_biases(row: Convention, arrays: Arrays, layers: list[list[LayerPosition]]) -> bool:
    """Return whether any of the optional arrays is given."""
    positions = [position for layer in layers for position in layer]
    needed = {name for position in positions for name in layout.all_names(row, position, biases=False)}
    return any(
        name in arrays for position in positions for name in layout.all_names(row, position) if name not in needed
    )


def check_names(row: Convention, arrays: Arrays, layers: list[list[LayerPosition]], *, biases: bool) -> None:
    """Check that no array is missing or superfluous.

    Raises:
        WeightsError: naming the first of them, with a suggestion.
    """
    expected = [name for layer in layers for position in layer for name in layout.all_names(row, position, biases)]
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in arrays if name not in expected]
    if missing:
        first = missing[0]
        deeper = next((name for name in arrays if name.endswith("." + first)), None)
        near = difflib.get_close_matches(first, extra, 1)
        if deeper is not None:
            hint = f"there is {deeper}: pass prefix={deeper[: -len(first)].rstrip('.')!r}"
        elif near:
            hint = f"is it the one called {near[0]}?"
        else:
            hint = list_names(arrays)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WeightsError(f"{row.title}: {first}{more} is missing, of {', '.join(expected[:8])}: {hint}")
    if extra:
        raise WeightsError(
            f"{row.title}: unexpected array {extra[0]}: {len(layers)} layer{'s' * (len(layers) > 1)} of it "
            f"would have {', '.join(expected[:8])}{', …' * (len(expected) > 8)}; leave it out, or choose another kind"
        )


def infer_sizes(
    row: Convention, arrays: Arrays, position: LayerPosition, *, input_size: int | None, biases: bool
) -> Sizes:
    """Return the sizes of a layer, after checking that every array of it has the shape that follows.

    Args:
        row: the convention.
        arrays: all arrays, by name.
        position: the layer and direction.
        input_size: D, the width of the layer below; None for the lowest layer, whose input matrix determines it.
        biases: whether the optional arrays are given.

    Raises:
        WeightsError: naming the first array that does not fit, and whether it is transposed.
    """
    hidden = _infer_hidden_size(row, arrays, position, biases=biases)
    feedback = min(arrays[layout.names(row, "w_p", position)[0]].shape, default=0) if row.w_p else hidden
    lowest = input_size is None
    if input_size is None:
        input_size = _infer_input_size(row, arrays, position, hidden=hidden)
    if min(hidden, feedback, input_size) < 1:
        name = layout.names(row, "w_x" if hidden else "w_h", position)[0]
        raise WeightsError(f"{row.title}: {name} has shape {arrays[name].shape}, of which no layer can be made")
    sizes = Sizes(input_size, hidden, feedback)
    for name, shape in layout.shapes(row, position, sizes, biases=biases).items():
        actual = arrays[name].shape
        if actual == shape:
            continue
        if actual == shape[::-1]:
            raise WeightsError(f"{row.title}: {name} has shape {actual}, not {shape}: it is transposed, pass its .T")
        reads_input = name in layout.names(row, "w_x", position)
        expected = "a matrix" if lowest and reads_input and len(actual) != 2 else f"{shape}, as {hidden} units"
        below = f" over {input_size} of the layer below" if reads_input and not lowest else ""
        raise WeightsError(f"{row.title}: {name} has shape {actual}, and should be {expected}{below}")
    return sizes


def _infer_hidden_size(row: Convention, arrays: Arrays, position: LayerPosition, *, biases: bool) -> int:
    """Return H from the array that determines it best, transposed or not: projection, recurrent matrix, or bias."""
    gates = len(row.gates)
    called = layout.names(row, "w_h", position)
    longest = max(arrays[called[0]].shape, default=0) * len(called)
    if row.w_p:
        return max(arrays[layout.names(row, "w_p", position)[0]].shape, default=0)
    if row.w_x != row.w_h and sorted(arrays[called[0]].shape) == [longest // gates, longest // len(called)]:
        return longest // gates
    if "b" in layout.fields(row, biases):
        called = layout.names(row, "b", position)
        return (arrays[called[0]].shape or (0,))[-1] * len(called) // gates
    return longest // gates


def _infer_input_size(row: Convention, arrays: Arrays, position: LayerPosition, *, hidden: int) -> int:
    """Return D from the input matrix, transposed or not."""
    called = layout.names(row, "w_x", position)
    array = arrays[called[0]]
    if array.ndim != 2:
        return 1
    width = len(row.gates) * hidden // len(called)
    outputs, inputs = array.shape if row.transposed else array.shape[::-1]
    if outputs != width and inputs == width:
        inputs = outputs
    return inputs - hidden if row.w_x == row.w_h else inputs
