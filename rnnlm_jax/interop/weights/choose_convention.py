"""Rows of the table of conventions for a library's kind of layer, or for a cell of this library."""

from collections.abc import Iterator
from typing import Any

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Bidirectional, Cell, Stack
from rnnlm_jax.cells.cell import CellSpec
from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.weights.conventions import CONVENTIONS, INEXPRESSIBLE, SYSTEMS, Convention, System


def system_of(name: str) -> System:
    """Return the library of that name.

    Raises:
        WeightsError: if it is not in the table.
    """
    if not isinstance(name, str) or name not in SYSTEMS:
        raise WeightsError(f"unknown library {name!r}: choose one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def rows_of_kind(system: str, kind: str) -> list[Convention]:
    """Return the rows for a library's own name of a layer; ``LSTM`` includes torch's ``LSTM(proj_size)``.

    Raises:
        WeightsError: for an unknown kind, or one that no cell of this library can express.
    """
    system_of(system)
    rows = [row for row in CONVENTIONS if row.system == system]
    named = [row for row in rows if row.kind == kind or row.kind.startswith(f"{kind}(")]
    if not named and (system, kind) in INEXPRESSIBLE:
        raise WeightsError(f"{system} {kind} is none of our cells: {INEXPRESSIBLE[system, kind]}")
    if not named:
        raise WeightsError(f"{system} has no kind {kind!r} here: choose one of {', '.join(row.kind for row in rows)}")
    return named


def rows_of_cell(system: str, cell: Cell) -> list[Convention]:
    """Return the rows of a library that can hold a cell, all its layers and directions.

    Raises:
        WeightsError: for something that is not a cell; if no row fits, naming what the library has and which libraries
            have the cell; for residual or summed layers, layers or directions in a library of single cells, and mixed
            kinds.
    """
    has = system_of(system)
    if not isinstance(cell, Cell):
        raise WeightsError(
            f"`cell` must be a cell of this library, such as cells.lstm(64), not a {type(cell).__name__}"
        )
    layers = layers_of(cell)
    if isinstance(cell, Stack) and cell.residual:
        raise WeightsError(f"{system} has no residual layers: take the layers of this stack one by one")
    if isinstance(cell, Stack) and cell.sum_outputs:
        raise WeightsError(f"{system} has no layers whose outputs are summed: take the layers of this stack one by one")
    if len(layers) > 1 and has.layer is None:
        raise WeightsError(f"{system} holds one layer at a time, not a stack of {len(layers)}: take them one by one")
    if any(len(layer) > 1 for layer in layers) and has.direction is None:
        raise WeightsError(f"{system} holds one direction, not a bidirectional cell: take its directions one by one")
    specs = [part.spec for layer in layers for part in layer]
    if len({(spec.hidden_size, spec.output_size) for spec in specs}) > 1 and has.one_size:
        raise WeightsError(f"{system} gives all layers and directions one size, not {describe(cell)}")
    if len({len(layer) for layer in layers}) > 1:
        raise WeightsError(f"{system} gives all layers one or two directions, not {describe(cell)}")
    theirs = [row for row in CONVENTIONS if row.system == system]
    rows = [row for row in theirs if all(holds(row, spec) for spec in specs)]
    if rows:
        return rows
    for spec in specs:
        if not any(holds(row, spec) for row in theirs):
            raise WeightsError(
                f"{system} cannot express {name_of(spec)}: {_alternatives(system, spec)}; {_other_libraries(spec)}"
            )
    raise WeightsError(f"{system} gives all layers one kind, not {describe(cell)}: take them one by one")


def holds(row: Convention, spec: CellSpec) -> bool:
    """Return whether a row lays out cells of that spec."""
    options = dict(spec.variant)
    return row.cell == spec.kind and all(options.get(name) in values for name, values in row.variant)


def layers_of(cell: Cell) -> list[list[Cell]]:
    """Return the cells of each layer, one or two directions.

    Raises:
        WeightsError: for stacks or bidirectional cells nested in other ways.
    """
    layers = [[part for part, _ in _directions(layer, None)] for layer, _ in _stacked(cell, None)]
    if any(isinstance(part, Stack | Bidirectional) for layer in layers for part in layer):
        raise WeightsError(
            "only a cell, two directions of it, and layers of those can be converted: take this one apart"
        )
    return layers


def parts_of(cell: Cell, tree: Tree) -> list[list[tuple[Cell, Tree]]]:
    """Return ``layers_of``, each cell with its parameters or state."""
    layers_of(cell)
    return [list(_directions(layer, part)) for layer, part in _stacked(cell, tree)]


def _stacked(cell: Cell, tree: Tree) -> Iterator[tuple[Cell, Tree]]:
    if isinstance(cell, Stack):
        yield from zip(cell.layers, _members(tree, len(cell.layers)), strict=True)
    else:
        yield cell, tree


def _directions(cell: Cell, tree: Tree) -> Iterator[tuple[Cell, Tree]]:
    if isinstance(cell, Bidirectional):
        yield from zip((cell.forward, cell.backward), _members(tree, 2), strict=True)
    else:
        yield cell, tree


def _members(tree: Tree, count: int) -> Any:
    if tree is None:
        return [None] * count
    if not isinstance(tree, tuple) or len(tree) != count:
        raise WeightsError(f"parameters or a state do not fit their cell, which has {count} parts")
    return tree


def name_of(spec: CellSpec) -> str:
    """Return a cell's kind with its distinguishing options, ``gru(reset=before)``."""
    options = [f"{name}={value}" for name, value in spec.variant if name != "forget_bias"]
    return spec.kind + (f"({', '.join(options)})" if options else "")


def describe(cell: Cell) -> str:
    """Return a cell's layers and directions with their sizes, for a message."""
    layers = layers_of(cell)
    names = [" and back ".join(f"{name_of(part.spec)} {_size(part.spec)}" for part in layer) for layer in layers]
    if len(set(names)) == 1:
        return names[0] if len(names) == 1 else f"{len(names)} layers of {names[0]}"
    return "layers of " + ", ".join(names)


def _size(spec: CellSpec) -> str:
    size = f"of {spec.hidden_size} units"
    return size if spec.output_size == spec.hidden_size else f"{size} projected to {spec.output_size}"


def _alternatives(system: str, spec: CellSpec) -> str:
    """Return what the library has in place of a cell."""
    same = [row for row in CONVENTIONS if row.system == system and row.cell == spec.kind]
    if same:
        kinds = [f"{row.kind} has {name}={' or '.join(values)}" for row in same for name, values in row.variant]
        return "its " + ", its ".join(kinds)
    return "it has " + ", ".join(row.kind for row in CONVENTIONS if row.system == system)


def _other_libraries(spec: CellSpec) -> str:
    others = [row.title for row in CONVENTIONS if holds(row, spec)]
    return f"{', '.join(others)} can" if others else "nor can any other library here"
