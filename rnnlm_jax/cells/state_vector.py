"""The full recurrent state of a cell as one vector, the space in which step Jacobians are matrices."""

from collections.abc import Callable

from jax.flatten_util import ravel_pytree

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell, state_size

__all__ = ["from_vector", "state_size", "to_vector"]


def to_vector(state: Tree) -> Float[Array, " n"]:
    """Concatenate the parts of an unbatched state in the order of its fields (hidden, then cell)."""
    return ravel_pytree(state)[0]


def from_vector(cell: Cell) -> Callable[[Float[Array, " n"]], Tree]:
    """Return the inverse of ``to_vector`` for a cell."""
    return ravel_pytree(cell.initial_state(()))[1]
