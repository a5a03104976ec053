"""Whether arrays are what a row of the table says, and how large the layer is; in words where they are not."""

import difflib
from collections.abc import Mapping

import numpy as np

from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights import layout
from rnnlm_jax.interop.weights.arrays import some
from rnnlm_jax.interop.weights.conventions import SYSTEMS, Convention
from rnnlm_jax.interop.weights.layout import Place, Sizes

Arrays = Mapping[str, np.ndarray]


def places(row: Convention, arrays: Arrays) -> list[list[Place]]:
    """The layers that are there, with their directions; the first layer at least."""
    system = SYSTEMS[row.system]

    def there(place: Place) -> bool:
        return any(name in arrays for name in layout.all_names(row, place))

    two = system.direction is not None and there(Place(0, 2))
    directions = (1, 2) if two else (0,)
    found = [[Place(0, d) for d in directions]]
    while system.layer is not None and there(Place(len(found), directions[0])):
        found.append([Place(len(found), d) for d in directions])
    return found


def has_biases(row: Convention, arrays: Arrays, layers: list[list[Place]]) -> bool:
    """Whether any of the arrays that may be missing is there."""
    every = [place for layer in layers for place in layer]
    needed = {name for place in every for name in layout.all_names(row, place, biases=False)}
    return any(name in arrays for place in every for name in layout.all_names(row, place) if name not in needed)


def check_names(row: Convention, arrays: Arrays, layers: list[list[Place]], biases: bool) -> None:
    """Refuse arrays that are missing or too many.

    Raises:
        UserError: naming the first of them, and what it is likely to be.
    """
    every = [place for layer in layers for place in layer]
    expected = [name for place in every for name in layout.all_names(row, place, biases)]
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in arrays if name not in expected]
    if missing:
        first = missing[0]
        deeper = next((name for name in arrays if name.endswith("." + first)), None)
        near = difflib.get_close_matches(first, extra, 1)
        if deeper is not None:
            hint = f"there is {deeper}: pass prefix={deeper[: -len(first)].rstrip('.')!r}"
        elif near:
            hint = f"is it what is called {near[0]}?"
        else:
            hint = some(arrays)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{row.title}: {first}{more} is missing, of {', '.join(expected[:8])}: {hint}")
    if extra:
        raise UserError(
            f"{row.title}: unexpected array {extra[0]}: {len(layers)} layer{'s' * (len(layers) > 1)} of it "
            f"would have {', '.join(expected[:8])}{', …' * (len(expected) > 8)}; leave it out, or choose another kind"
        )


def hidden_size(row: Convention, arrays: Arrays, place: Place, biases: bool) -> int:
    """H, by whichever array tells it best, transposed or not: the projection, the recurrent matrix, a bias."""
    gates = len(row.gates)
    called = layout.names(row, "w_h", place)
    long = max(arrays[called[0]].shape, default=0) * len(called)
    if row.w_p:
        return max(arrays[layout.names(row, "w_p", place)[0]].shape, default=0)
    if row.w_x != row.w_h and sorted(arrays[called[0]].shape) == [long // gates, long // len(called)]:
        return long // gates
    if "b" in layout.fields(row, biases):
        called = layout.names(row, "b", place)
        return (arrays[called[0]].shape or (0,))[-1] * len(called) // gates
    return long // gates


def sizes(row: Convention, arrays: Arrays, place: Place, inputs: int | None, biases: bool) -> Sizes:
    """The sizes of a layer, and that every array of it has the shape that follows.

    Args:
        row: the convention.
        arrays: all arrays, by name.
        place: which layer and direction.
        inputs: D, where the layer below gives it; None: of the lowest, read from its input matrix.
        biases: whether there are those arrays that may be missing.

    Raises:
        UserError: naming the first array that does not fit, and whether it is transposed.
    """
    hidden = hidden_size(row, arrays, place, biases)
    feedback = min(arrays[layout.names(row, "w_p", place)[0]].shape, default=0) if row.w_p else hidden
    lowest = inputs is None
    if inputs is None:
        inputs = _inputs(row, arrays, place, hidden)
    if min(hidden, feedback, inputs) < 1:
        name = layout.names(row, "w_x" if hidden else "w_h", place)[0]
        raise UserError(f"{row.title}: {name} has shape {arrays[name].shape}, of which no layer can be made")
    found = Sizes(inputs, hidden, feedback)
    for name, shape in layout.shapes(row, place, found, biases).items():
        actual = arrays[name].shape
        if actual == shape:
            continue
        if actual == shape[::-1]:
            raise UserError(f"{row.title}: {name} has shape {actual}, not {shape}: it is transposed, pass its .T")
        open_end = lowest and name in layout.names(row, "w_x", place) and len(actual) != 2
        why = "a matrix" if open_end else f"{shape}, as {hidden} units"
        below = "" if lowest or name not in layout.names(row, "w_x", place) else f" over {inputs} of the layer below"
        raise UserError(f"{row.title}: {name} has shape {actual}, and should be {why}{below}")
    return found


def _inputs(row: Convention, arrays: Arrays, place: Place, hidden: int) -> int:
    """D, from the input matrix, also if that is transposed."""
    called = layout.names(row, "w_x", place)
    array = arrays[called[0]]
    if array.ndim != 2:
        return 1
    width = len(row.gates) * hidden // len(called)
    out, inputs = array.shape if row.transposed else array.shape[::-1]
    if out != width and inputs == width:
        inputs = out
    return inputs - hidden if row.w_x == row.w_h else inputs
