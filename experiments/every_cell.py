"""The cells of the library that a study runs over, and the group that each belongs to."""

import jax

from rnnlm_jax import cells
from rnnlm_jax.cells import Cell
from rnnlm_jax.cells.cell_facts import Recurrence
from rnnlm_jax.errors import ArgumentError, ConfigError, UserError

#: Groups of cells, in the order of tables.
NONLINEAR, LINEAR, WINDOW = "nonlinear", "linear", "window"


def causal_cells() -> tuple[str, ...]:
    """Return the names of the registered cells whose output depends on no later input: those that can be stepped.

    Pairs of directions, which can only be unrolled, are not registered, and would be left out.
    """
    made = {name: cells.make(name, smallest_multiple(name)) for name in cells.names()}
    return tuple(name for name, cell in made.items() if cell.splits or cell.whole_step is not None)


def chosen(words: str | None, known: tuple[str, ...], noun: str) -> tuple[str, ...]:
    """Return the names in a list with commas; all known ones for None.

    Raises:
        ConfigError: if one is not known.
    """
    if words is None:
        return known
    names = tuple(words.split(","))
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown {noun} {name!r}: choose from {','.join(known)}")
    return names


def group(cell: Cell) -> str:
    """Return the group of a cell: linear in the state, not linear, or a window of inputs without a recurrence."""
    if cell.spec.kind == "feed-forward":
        return WINDOW
    return LINEAR if cell.recurrence is Recurrence.LINEAR else NONLINEAR


def count(params: object) -> int:
    """Return the number of parameters in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def smallest_multiple(name: str) -> int:
    """Return the number of which a cell's ``hidden_size`` must be a multiple, a power of two: 1 for most.

    Raises:
        ArgumentError: if there is none up to 64.
    """
    for size in (1, 2, 4, 8, 16, 32, 64):
        if all(_can_be_made(name, size * factor) for factor in (1, 3, 5)):
            return size
    raise ArgumentError(f"cannot find a `hidden_size` that the cell {name!r} accepts: give it one")


def _can_be_made(name: str, hidden_size: int) -> bool:
    try:
        cell = cells.make(name, hidden_size)
        jax.eval_shape(lambda: cell.init(jax.random.key(0), 2))
    except UserError:
        return False
    return True
