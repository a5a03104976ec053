"""Which row of the table: of a kind by their name, or of a cell of ours; and what to say where there is none."""

from collections.abc import Iterator
from typing import Any

from rnnlm_jax.array_types import Tree
from rnnlm_jax.cells import Bidirectional, Cell, Stack
from rnnlm_jax.cells.cell import CellSpec
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.weights.conventions import CONVENTIONS, INEXPRESSIBLE, SYSTEMS, Convention, System


def system_of(name: str) -> System:
    """The library of that name.

    Raises:
        UserError: if it is not in the table.
    """
    if not isinstance(name, str) or name not in SYSTEMS:
        raise UserError(f"unknown library {name!r}: choose one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def rows_of_kind(system: str, kind: str) -> list[Convention]:
    """The rows that a library's own name means: ``LSTM`` is also torch's ``LSTM(proj_size)``.

    Raises:
        UserError: for a kind that is not there, or that nothing of ours can express.
    """
    system_of(system)
    rows = [row for row in CONVENTIONS if row.system == system]
    named = [row for row in rows if row.kind == kind or row.kind.startswith(f"{kind}(")]
    if not named and (system, kind) in INEXPRESSIBLE:
        raise UserError(f"{system} {kind} is none of our cells: {INEXPRESSIBLE[system, kind]}")
    if not named:
        raise UserError(f"{system} has no kind {kind!r} here: choose one of {', '.join(row.kind for row in rows)}")
    return named


def rows_of_cell(system: str, cell: Cell) -> list[Convention]:
    """The rows of a library that hold cells such as this one, all its layers and directions.

    Raises:
        UserError: for what is no cell; if there is no row, naming what the library has and who else has the cell; for
            residual layers, layers or directions in a library of single cells, and mixed kinds.
    """
    has = system_of(system)
    if not isinstance(cell, Cell):
        raise UserError(f"this needs a cell of this library, such as cells.lstm(64), not a {type(cell).__name__}")
    layers = layers_of(cell)
    if isinstance(cell, Stack) and cell.residual:
        raise UserError(f"{system} has no residual layers: take the layers of this stack one by one")
    if len(layers) > 1 and has.layer is None:
        raise UserError(f"{system} holds one layer at a time, not a stack of {len(layers)}: take them one by one")
    two = next((k for k, layer in enumerate(layers) if len(layer) > 1), None)
    if two is not None and has.direction is None:
        raise UserError(f"{system} holds one direction, not a bidirectional cell: take its two directions one by one")
    specs = [part.spec for layer in layers for part in layer]
    if len({(spec.hidden_size, spec.output_size) for spec in specs}) > 1 and has.one_size:
        raise UserError(f"{system} gives all layers and directions one size, not {describe(cell)}")
    if len({len(layer) for layer in layers}) > 1:
        raise UserError(f"{system} gives all layers one or two directions, not {describe(cell)}")
    theirs = [row for row in CONVENTIONS if row.system == system]
    rows = [row for row in theirs if all(holds(row, spec) for spec in specs)]
    if rows:
        return rows
    for spec in specs:
        if not any(holds(row, spec) for row in theirs):
            raise UserError(f"{system} cannot express {name_of(spec)}: {_theirs(system, spec)}; {_elsewhere(spec)}")
    raise UserError(f"{system} gives all layers one kind, not {describe(cell)}: take them one by one")


def holds(row: Convention, spec: CellSpec) -> bool:
    """Whether a cell of that spec is what the row lays out."""
    options = dict(spec.variant)
    return row.cell == spec.kind and all(options.get(name) in values for name, values in row.variant)


def layers_of(cell: Cell) -> list[list[Cell]]:
    """The cells of each layer, one or two directions.

    Raises:
        UserError: for combinations inside of combinations that are no layers.
    """
    layers = [[part for part, _ in _directions(layer, None)] for layer, _ in _stacked(cell, None)]
    if any(isinstance(part, Stack | Bidirectional) for layer in layers for part in layer):
        raise UserError("only a cell, two directions of it, and layers of those can be converted: take this one apart")
    return layers


def parts_of(cell: Cell, tree: Tree) -> list[list[tuple[Cell, Tree]]]:
    """``layers_of`` with the parameters, or states, of each."""
    layers_of(cell)
    return [list(_directions(layer, part)) for layer, part in _stacked(cell, tree)]


def _stacked(cell: Cell, tree: Any) -> Iterator[tuple[Cell, Any]]:
    if isinstance(cell, Stack):
        yield from zip(cell.layers, _members(tree, len(cell.layers)), strict=True)
    else:
        yield cell, tree


def _directions(cell: Cell, tree: Any) -> Iterator[tuple[Cell, Any]]:
    if isinstance(cell, Bidirectional):
        yield from zip((cell.forward, cell.backward), _members(tree, 2), strict=True)
    else:
        yield cell, tree


def _members(tree: Any, count: int) -> Any:
    if tree is None:
        return [None] * count
    if not isinstance(tree, tuple) or len(tree) != count:
        raise UserError(f"these are not of that cell, which has {count} parts: give those that belong to it")
    return tree


def name_of(spec: CellSpec) -> str:
    """A cell's kind and what sets it apart, ``gru(reset=before)``."""
    telling = [f"{name}={value}" for name, value in spec.variant if name != "forget_bias"]
    return spec.kind + (f"({', '.join(telling)})" if telling else "")


def describe(cell: Cell) -> str:
    """A cell, its layers and directions with their sizes, for a message."""
    layers = layers_of(cell)
    names = [" and back ".join(f"{name_of(part.spec)} {_size(part.spec)}" for part in layer) for layer in layers]
    if len(set(names)) == 1:
        return names[0] if len(names) == 1 else f"{len(names)} layers of {names[0]}"
    return "layers of " + ", ".join(names)


def _size(spec: CellSpec) -> str:
    size = f"of {spec.hidden_size} units"
    return size if spec.output_size == spec.hidden_size else f"{size} projected to {spec.output_size}"


def _theirs(system: str, spec: CellSpec) -> str:
    """What the library has in its place."""
    same = [row for row in CONVENTIONS if row.system == system and row.cell == spec.kind]
    if same:
        kinds = [f"{row.kind} has {name}={' or '.join(values)}" for row in same for name, values in row.variant]
        return "its " + ", its ".join(kinds)
    return "it has " + ", ".join(row.kind for row in CONVENTIONS if row.system == system)


def _elsewhere(spec: CellSpec) -> str:
    others = [row.title for row in CONVENTIONS if holds(row, spec)]
    return f"{', '.join(others)} can" if others else "nor can any other library here"
