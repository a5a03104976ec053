"""Weights of another library's recurrent layers as a cell of this library with its parameters, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import cells
from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.errors import UserError, WeightsError
from rnnlm_jax.interop.weights import check_layers, layout
from rnnlm_jax.interop.weights.choose_convention import (
    describe,
    layers_of,
    parts_of,
    rows_of_cell,
    rows_of_kind,
    system_of,
)
from rnnlm_jax.interop.weights.conventions import CELL_KINDS, CONVENTIONS, SYSTEMS, Convention
from rnnlm_jax.interop.weights.fit_cell import Loaded, arrays_by_field, fit_to_cell
from rnnlm_jax.interop.weights.layout import LayerPosition, Sizes
from rnnlm_jax.interop.weights.named_arrays import (
    PARAM_DTYPES,
    common_dtype,
    dotted_prefix,
    flatten,
    nest,
    select_prefix,
)


def load(
    system: str, kind: str | Cell, arrays: Mapping[str, Any] | Sequence[Any], *, prefix: str = "", dtype: Any = None
) -> Loaded:
    """Return a cell and its parameters from the weights of another library's recurrent layers.

    Numbers are kept to the bit, in the arrays' own dtype, except for sums: two biases that the library adds become one,
    and haiku's constant 1 is added to the forget gate's bias. Half-precision weights become float32, which is exact.
    A transposed square matrix cannot be detected.

    Args:
        system: "torch", "linen", "nnx", "haiku", "equinox" or "keras".
        kind: the library's own name of the layer, such as "LSTM", "GRUCell" or "RNN_RELU"; or the cell that the
            weights are for, which then determines their dtype, and the activation of a SimpleRNN.
        arrays: by name, nested or not: a ``state_dict``, a ``params`` tree; or keras's ``get_weights()``. Several
            layers and two directions become ``cells.stack`` and ``cells.bidirectional``.
        prefix: read only the arrays whose names begin with it, as "rnn" in "rnn.weight_ih_l0".
        dtype: of the parameters; the arrays' own by default.

    Raises:
        WeightsError: for an unknown or inexpressible layer, arrays that are missing, too many, of the wrong shape,
            transposed or of several dtypes, or weights that are not the given cell's.
    """
    system_of(system)
    given = kind if isinstance(kind, Cell) else None
    if given is None and not isinstance(kind, str):
        raise WeightsError(f"`kind` is a name such as 'LSTM', or a cell of this library, not a {type(kind).__name__}")
    rows = rows_of_cell(system, given) if isinstance(given, Cell) else rows_of_kind(system, str(kind))
    if not (SYSTEMS[system].listed and isinstance(arrays, list | tuple)):
        named = select_prefix(flatten(arrays), prefix)
        row = max(rows, key=lambda row: _name_score(row, named))
    else:
        row = rows[0]
        named = flatten(_by_position(row, arrays, prefix))
    wanted = _param_dtype(common_dtype(named, row.title), given, dtype)
    try:
        loaded = _load(row, {name: array.astype(wanted, copy=False) for name, array in named.items()}, wanted)
    except UserError as error:
        others = [other.kind for other in CONVENTIONS if other.system == system and _fits(other, named, row)]
        if not others:
            raise
        raise WeightsError(f"{error}; these are the arrays of {system} {' or '.join(others)}") from None
    return loaded if given is None else Loaded(given, fit_to_cell(given, loaded, row.title))


def dump(
    system: str, cell: Cell, params: Tree, *, kind: str | None = None, biases: bool | None = None, prefix: str = ""
) -> dict[str, Any]:
    """Return the parameters of a cell as another library's NumPy arrays, as its own functions take them.

    That is a flat ``state_dict`` for torch, a nested tree for linen, nnx and haiku, fields for equinox, and for keras
    names with arrays in the order of ``get_weights``. Of two biases, the first is ours and the second zero; ``load``
    returns equal parameters, to the bit (except for the rounding of haiku's forget bias, which is stored less 1).

    Args:
        system: as in ``load``.
        cell: the cell; a stack, bidirectional or not, where the library has those.
        params: its parameters.
        kind: the library's name of the layer; by default the first that can hold the cell.
        biases: False leaves them out, for modules without; True writes zeros for a cell without. By default, a cell
            with a bias writes one.
        prefix: put before every name.

    Raises:
        WeightsError: if the library cannot express the cell or these parameters, naming both; or if the parameters are
            not the cell's.
    """
    rows = rows_of_cell(system, cell)
    if kind is not None:
        wanted = rows_of_kind(system, kind)
        if not any(row in rows for row in wanted):
            fitting = ", ".join(row.kind for row in rows)
            raise WeightsError(f"{system} {kind} cannot express {describe(cell)}: {fitting} can")
        rows = [row for row in wanted if row in rows]
    row, found = rows[0], {}
    layers = parts_of(cell, params)
    for k, layer in enumerate(layers):
        for direction, (part, values) in enumerate(layer):
            position = LayerPosition(k, direction + (len(layer) > 1))
            found |= _dump_direction(row, part, values, position=position, biases=biases)
    levels = SYSTEMS[system].nested
    named = {dotted_prefix(prefix) + name: array for name, array in found.items()}
    return nest(named, levels) if levels else named


def _param_dtype(own: np.dtype, given: Cell | None, requested: Any) -> np.dtype:
    """Return the dtype of parameters: the requested one, else the given cell's, else the arrays' own."""
    if requested is not None and str(requested) not in ("float32", "float64") and requested not in PARAM_DTYPES:
        raise WeightsError(f"dtype {requested!r} is not supported for parameters: choose float32 or float64")
    if given is not None:
        own = layers_of(given)[0][0].spec.param_dtype
        if requested is not None and np.dtype(requested) != own:
            raise WeightsError(f"dtype {np.dtype(requested)} is not the given cell's, {own}: leave one of them out")
    dtype = np.dtype(own if requested is None else requested)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise WeightsError(f'{dtype} weights need JAX_ENABLE_X64=1: set it, or pass dtype="float32" to round them')
    return dtype


def _name_score(row: Convention, arrays: Mapping[str, Any]) -> float:
    """Return how well the names fit a row: one for each that is given, minus a half for each that is missing."""
    layers = check_layers.find_layers(row, arrays)
    names = [name for layer in layers for position in layer for name in layout.all_names(row, position)]
    given = sum(name in arrays for name in names)
    return given - (len(names) - given) / 2


def _by_position(row: Convention, arrays: Sequence[Any], prefix: str) -> dict[str, Any]:
    """Return a list such as keras's ``get_weights()`` by name: of one direction or two, with biases or without."""
    if prefix:
        raise WeightsError(f"{row.title}: a list has no names that could begin with {prefix!r}: leave the prefix out")
    lengths = []
    for biases in (True, False):
        for directions in ((0,), (1, 2)):
            names = [name for d in directions for name in layout.all_names(row, LayerPosition(0, d), biases)]
            if len(names) == len(arrays):
                return dict(zip(names, arrays, strict=True))
            lengths.append(len(names))
    raise WeightsError(
        f"{row.title}: a list of {len(arrays)} arrays was given, not of {', '.join(map(str, sorted(lengths)))}: "
        "pass the get_weights() of one layer"
    )


def _load(row: Convention, arrays: Mapping[str, np.ndarray], dtype: np.dtype) -> Loaded:
    """Check and read all layers and directions."""
    positions = check_layers.find_layers(row, arrays)
    biases = check_layers.has_biases(row, arrays, positions)
    check_layers.check_names(row, arrays, positions, biases=biases)
    layers, inputs = [], None
    for directions in positions:
        found = [
            (check_layers.infer_sizes(row, arrays, position, input_size=inputs, biases=biases), position)
            for position in directions
        ]
        if len({sizes for sizes, _ in found}) > 1:
            raise WeightsError(f"{row.title}: the two directions differ in size: {found[0][0]} and {found[1][0]}")
        layers.append(
            [
                _load_direction(row, layout.read(row, arrays, position, sizes=s, biases=biases), s, dtype=dtype)
                for s, position in found
            ]
        )
        inputs = sum(sizes.feedback for sizes, _ in found)
    if SYSTEMS[row.system].one_size and len({layer[0].cell.spec.hidden_size for layer in layers}) > 1:
        raise WeightsError(f"{row.title}: its layers differ in size, and {row.system} gives all of them one")
    both = [_join_directions(layer) for layer in layers]
    return both[0] if len(both) == 1 else Loaded(cells.stack(*[b.cell for b in both]), tuple(b.params for b in both))


def _join_directions(directions: list[Loaded]) -> Loaded:
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    cell = cells.bidirectional(forward.cell, backward.cell)
    return Loaded(cell, cells.Directions(forward.params, backward.params))


def _load_direction(row: Convention, arrays: Mapping[str, np.ndarray], sizes: Sizes, *, dtype: np.dtype) -> Loaded:
    """Return the cell of one layer in one direction with its parameters."""
    options: dict[str, Any] = {name: values[0] for name, values in row.variant}
    ours: dict[str, np.ndarray | None] = dict(arrays)
    b = ours.pop("b", None)
    if row.cell == "elman":
        options["bias"] = b is not None
    elif row.cell == "gru":
        options["candidate_bias"] = "b_n" in ours or options["reset"] == "before"  # which has no such bias
        ours.setdefault("b_n", None)
    elif row.cell == "lstm-projected":
        options["projection_size"] = sizes.feedback
    if b is None and row.cell != "elman":
        b = np.zeros(arrays["w_x"].shape[1], dtype)
    kind = CELL_KINDS[row.cell]
    cell = kind.factory(sizes.hidden, param_dtype=dtype, **options)
    params = {name: None if array is None else jnp.asarray(array) for name, array in {**ours, "b": b}.items()}
    return Loaded(cell, kind.params(**params))


def _fits(row: Convention, arrays: Mapping[str, np.ndarray], instead_of: Convention) -> bool:
    """Return whether arrays that do not fit their row are those of another one."""
    try:
        return row is not instead_of and _load(row, arrays, np.dtype(np.float32)) is not None
    except UserError:
        return False


def _dump_direction(
    row: Convention, cell: Cell, params: Tree, *, position: LayerPosition, biases: bool | None
) -> dict[str, np.ndarray]:
    """Return the library's arrays of one layer in one direction."""
    ours = arrays_by_field(cell, params)
    b, b_n = ours.pop("b"), ours.pop("b_n", None)
    if biases is None:
        biases = b is not None
    kept = layout.fields(row, bool(biases))
    for name, array in (("b", b), ("b_n", b_n)):
        if not biases and name not in kept and array is not None and np.any(array):
            raise WeightsError(f"{row.title} without biases cannot express this {row.cell}, whose {name} is not zero")
    width = ours["w_x"].shape[1]
    ours["b"] = np.zeros(width, ours["w_x"].dtype) if b is None else b
    if row.b_n or row.b_h and b_n is not None:
        ours["b_n"] = np.zeros(cell.spec.hidden_size, ours["w_x"].dtype) if b_n is None else b_n
    elif b_n is not None and np.any(b_n):
        raise WeightsError(
            f"{row.title} has no recurrent candidate bias, and b_n of this {row.cell} is not zero: "
            "train with candidate_bias=False"
        )
    if row.w_p and cell.spec.output_size >= cell.spec.hidden_size:
        raise WeightsError(f"{row.title} cannot express {describe(cell)}: there the projection must be the smaller")
    return layout.write(row, ours, position, biases=bool(biases))
