"""Weights of another library's recurrent layers as a cell of ours with its parameters, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights import checks, layout
from rnnlm_jax.interop.weights.arrays import WIDE, below, flatten, nest, one_dtype, under
from rnnlm_jax.interop.weights.choose_convention import (
    describe,
    layers_of,
    parts_of,
    rows_of_cell,
    rows_of_kind,
    system_of,
)
from rnnlm_jax.interop.weights.conventions import CONVENTIONS, SYSTEMS, Convention
from rnnlm_jax.interop.weights.fit_cell import Loaded, fit, own_arrays
from rnnlm_jax.interop.weights.layout import Place, Sizes

PARAMS = {
    "elman": cells.ElmanParams,
    "lstm": cells.LSTMParams,
    "lstm-projected": cells.ProjectedLSTMParams,
    "gru": cells.GRUParams,
}


def load(
    system: str, kind: str | Cell, arrays: Mapping[str, Any] | Sequence[Any], *, prefix: str = "", dtype: Any = None
) -> Loaded:
    """The cell and parameters that the weights of another library's recurrent layers are.

    Numbers are kept to the bit, in the arrays' own type, but for sums: two biases that the library adds become one, and
    haiku's constant 1 goes into the forget gate's bias. Half-precision weights become float32, which holds them all.
    A square matrix that is transposed cannot be told from one that is not.

    Args:
        system: "torch", "linen", "nnx", "haiku", "equinox" or "keras".
        kind: the library's own name of the layer, such as "LSTM", "GRUCell" or "RNN_RELU"; or the cell that the
            weights are for, which then decides the type of its parameters, and the activation of a SimpleRNN.
        arrays: by name, nested or not: a ``state_dict``, a ``params`` tree; or keras's ``get_weights()``. Several
            layers and two directions become ``cells.stack`` and ``cells.bidirectional``.
        prefix: read only the arrays whose names begin so, as "rnn" in "rnn.weight_ih_l0".
        dtype: of the parameters; the arrays' own unless given.

    Raises:
        UserError: for an unknown or inexpressible layer, arrays that are missing, too many, of the wrong shape,
            transposed or of several types, or weights that are not the given cell's.
    """
    system_of(system)
    given = kind if isinstance(kind, Cell) else None
    if given is None and not isinstance(kind, str):
        raise UserError(f"kind is a name such as 'LSTM', or a cell of this library, not a {type(kind).__name__}")
    rows = rows_of_cell(system, given) if isinstance(given, Cell) else rows_of_kind(system, str(kind))
    if not (SYSTEMS[system].listed and isinstance(arrays, list | tuple)):
        named = below(flatten(arrays), prefix)
        row = max(rows, key=lambda row: _match(row, named))
    else:
        row = rows[0]
        named = flatten(_by_position(row, arrays, prefix))
    wanted = _dtype(one_dtype(named, row.title), given, dtype)
    try:
        loaded = _load(row, {name: array.astype(wanted, copy=False) for name, array in named.items()}, wanted)
    except UserError as error:
        others = [other.kind for other in CONVENTIONS if other.system == system and _fits(other, named, row)]
        if not others:
            raise
        raise UserError(f"{error}; these are the arrays of {system} {' or '.join(others)}") from None
    return loaded if given is None else Loaded(given, fit(given, loaded, row.title))


def dump(
    system: str, cell: Cell, params: Tree, *, kind: str | None = None, biases: bool | None = None, prefix: str = ""
) -> dict[str, Any]:
    """The parameters of a cell as another library's arrays, NumPy, as its own functions take them.

    That is a flat ``state_dict`` for torch, a nested tree for linen, nnx and haiku, fields for equinox, and for keras
    names with arrays in the order of ``get_weights``. What has two biases there gets ours and zeros; ``load`` gives
    back equal parameters, to the bit (haiku's forget bias but for rounding: it is kept less 1).

    Args:
        system: as in ``load``.
        cell: the cell; a stack, bidirectional or not, where the library has those.
        params: its parameters.
        kind: which of the library's kinds; the first that can hold the cell unless given.
        biases: False leaves them out, for modules that have none; True writes zeros for a cell without. Unless given, a
            cell that has a bias writes one.
        prefix: to put before every name.

    Raises:
        UserError: if the library cannot express the cell, or these parameters of it, naming both; or if the parameters
            are not the cell's.
    """
    rows = rows_of_cell(system, cell)
    if kind is not None:
        wanted = rows_of_kind(system, kind)
        if not any(row in rows for row in wanted):
            fitting = ", ".join(row.kind for row in rows)
            raise UserError(f"{system} {kind} cannot express {describe(cell)}: {fitting} can")
        rows = [row for row in wanted if row in rows]
    row, found = rows[0], {}
    layers = parts_of(cell, params)
    for k, layer in enumerate(layers):
        for direction, (part, values) in enumerate(layer):
            place = Place(k, direction + (len(layer) > 1))
            found |= _dump(row, part, values, place, biases)
    levels = SYSTEMS[system].nested
    named = {under(prefix) + name: array for name, array in found.items()}
    return nest(named, levels) if levels else named


def _dtype(own: np.dtype, given: Cell | None, asked: Any) -> np.dtype:
    """The type of parameters: what was asked for, else the given cell's, else the arrays' own."""
    if asked is not None and str(asked) not in ("float32", "float64") and asked not in WIDE:
        raise UserError(f"dtype {asked!r} is none that parameters can have here: choose float32 or float64")
    if given is not None:
        own = layers_of(given)[0][0].spec.param_dtype
        if asked is not None and np.dtype(asked) != own:
            raise UserError(f"dtype {np.dtype(asked)} is not that of the given cell, {own}: leave one of them out")
    dtype = np.dtype(own if asked is None else asked)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise UserError(f'{dtype} weights need JAX_ENABLE_X64=1: set it, or pass dtype="float32" to round them')
    return dtype


def _match(row: Convention, arrays: Mapping[str, Any]) -> float:
    """How well the names fit a row: those that are there count, those that are missing count against it."""
    names = [name for layer in checks.places(row, arrays) for p in layer for name in layout.all_names(row, p)]
    there = sum(name in arrays for name in names)
    return there - (len(names) - there) / 2


def _by_position(row: Convention, arrays: Sequence[Any], prefix: str) -> dict[str, Any]:
    """A list such as keras's ``get_weights()`` by name: in one direction or two, with biases or without."""
    if prefix:
        raise UserError(f"{row.title}: a list has no names that could begin with {prefix!r}: leave the prefix out")
    lengths = []
    for biases in (True, False):
        for directions in ((0,), (1, 2)):
            names = [name for d in directions for name in layout.all_names(row, Place(0, d), biases)]
            if len(names) == len(arrays):
                return dict(zip(names, arrays, strict=True))
            lengths.append(len(names))
    raise UserError(
        f"{row.title}: a list of {len(arrays)} arrays was given, not of {', '.join(map(str, sorted(lengths)))}: "
        "pass the get_weights() of one layer"
    )


def _load(row: Convention, arrays: Mapping[str, np.ndarray], dtype: np.dtype) -> Loaded:
    """Check, and read all layers and directions."""
    places = checks.places(row, arrays)
    biases = checks.has_biases(row, arrays, places)
    checks.check_names(row, arrays, places, biases)
    layers, inputs = [], None
    for directions in places:
        found = [(checks.sizes(row, arrays, place, inputs, biases), place) for place in directions]
        if len({sizes for sizes, _ in found}) > 1:
            raise UserError(f"{row.title}: the two directions differ in size: {found[0][0]} and {found[1][0]}")
        layers.append([_cell(row, layout.read(row, arrays, place, s, biases), s, dtype) for s, place in found])
        inputs = sum(sizes.feedback for sizes, _ in found)
    if SYSTEMS[row.system].one_size and len({layer[0].cell.spec.hidden_size for layer in layers}) > 1:
        raise UserError(f"{row.title}: its layers differ in size, and {row.system} gives all of them one")
    both = [_both(layer) for layer in layers]
    return both[0] if len(both) == 1 else Loaded(cells.stack(*[b.cell for b in both]), tuple(b.params for b in both))


def _both(directions: list[Loaded]) -> Loaded:
    if len(directions) == 1:
        return directions[0]
    (forward, there), (backward, back) = directions
    return Loaded(cells.bidirectional(forward, backward), cells.Directions(there, back))


def _cell(row: Convention, ours: dict[str, np.ndarray], sizes: Sizes, dtype: np.dtype) -> Loaded:
    """One layer in one direction: the cell, and what was read as its parameters."""
    options: dict[str, Any] = {name: values[0] for name, values in row.variant}
    b = ours.pop("b", None)
    if row.cell == "elman":
        options["bias"] = b is not None
    elif row.cell == "gru":
        options["candidate_bias"] = "b_n" in ours or options["reset"] == "before"  # where it has none in any case
        ours.setdefault("b_n", None)  # pyright: ignore[reportArgumentType]
    elif row.cell == "lstm-projected":
        options["projection_size"] = sizes.feedback
    if b is None and row.cell != "elman":
        b = np.zeros(ours["w_x"].shape[1], dtype)
    factory = {"elman": cells.elman, "lstm": cells.lstm, "lstm-projected": cells.projected_lstm, "gru": cells.gru}
    cell = factory[row.cell](sizes.hidden, param_dtype=dtype, **options)
    arrays = {name: None if array is None else jnp.asarray(array) for name, array in {**ours, "b": b}.items()}
    return Loaded(cell, PARAMS[row.cell](**arrays))


def _fits(row: Convention, arrays: Mapping[str, np.ndarray], instead_of: Convention) -> bool:
    """Whether arrays that are not what they were said to be are those of another row."""
    try:
        return row is not instead_of and _load(row, arrays, np.dtype(np.float32)) is not None
    except UserError:
        return False


def _dump(row: Convention, cell: Cell, params: Tree, place: Place, biases: bool | None) -> dict[str, np.ndarray]:
    """One layer in one direction."""
    ours = own_arrays(cell, params)
    b, b_n = ours.pop("b"), ours.pop("b_n", None)
    if biases is None:
        biases = b is not None
    kept = layout.fields(row, bool(biases))
    for name, array in (("b", b), ("b_n", b_n)):
        if not biases and name not in kept and array is not None and np.any(array):
            raise UserError(f"{row.title} without biases cannot express this {row.cell}, whose {name} is not zero")
    width = ours["w_x"].shape[1]
    ours["b"] = np.zeros(width, ours["w_x"].dtype) if b is None else b
    if row.b_n or row.b_h and b_n is not None:
        ours["b_n"] = np.zeros(cell.spec.hidden_size, ours["w_x"].dtype) if b_n is None else b_n
    elif b_n is not None and np.any(b_n):
        raise UserError(
            f"{row.title} has no recurrent candidate bias, and b_n of this {row.cell} is not zero: "
            "train with candidate_bias=False"
        )
    if row.w_p and cell.spec.output_size >= cell.spec.hidden_size:
        raise UserError(f"{row.title} cannot express {describe(cell)}: there the projection must be the smaller")
    return layout.write(row, ours, place, bool(biases))
