"""The full recurrent state of a cell as one vector, the space in which step Jacobians are matrices."""

import math
from collections.abc import Callable

import jax
from jax.flatten_util import ravel_pytree

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell


def state_size(cell: Cell) -> int:
    """Return n: H for an Elman cell or GRU, 2H for an LSTM (hidden, then cell), the sum over layers for a stack."""
    leaves = jax.tree.leaves(jax.eval_shape(lambda: cell.initial_state(())))
    return sum(math.prod(leaf.shape) for leaf in leaves)


def to_vector(state: Tree) -> Float[Array, " n"]:
    """Concatenate the parts of an unbatched state in the order of its fields (hidden, then cell)."""
    return ravel_pytree(state)[0]


def from_vector(cell: Cell) -> Callable[[Float[Array, " n"]], Tree]:
    """Return the inverse of ``to_vector`` for a cell."""
    return ravel_pytree(cell.initial_state(()))[1]
