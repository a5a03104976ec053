"""The state of a cell cut into blocks, the shape in which parallel executors and Jacobians take it."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells.cell import Cell, state_size
from rnnlm_jax.cells.cell_facts import JacobianStructure
from rnnlm_jax.errors import ArgumentError


@dataclass(frozen=True)
class StateBlocks:
    """N blocks of m numbers each, ``N m = n``: a number of one block depends on the numbers of this block only.

    With one block a number (a diagonal Jacobian) parts of the state follow each other. Otherwise each part gives an
    equal share to every block: a vector of ``P N`` numbers is P vectors of one number a block (the hidden part and the
    cell of an LSTM whose units do not meet); an array of more axes is cut along its leading axes, ``[N, ·]`` (rows of a
    matrix, units of a head).
    """

    count: int
    """N."""
    size: int
    """m."""
    shapes: tuple[tuple[int, ...], ...]
    """Shape of each part of the state without batch axes."""
    structure: Any
    """The tree of the state."""

    def join(self, state: Tree) -> Float[Array, "*B N m"]:
        """Return a state, with any number of leading axes, as blocks."""
        parts = [self._cut(leaf, shape) for leaf, shape in zip(jax.tree.leaves(state), self.shapes, strict=True)]
        return jnp.concatenate(parts, axis=-2 if self.size == 1 else -1)

    def split(self, blocks: Float[Array, "*B N m"]) -> Tree:
        """Return blocks as a state, the inverse of ``join``."""
        batch = blocks.shape[:-2]
        leaves, start = [], 0
        for shape in self.shapes:
            numbers = math.prod(shape)
            if self.size == 1:
                leaf = blocks[..., start : start + numbers, :].reshape(*batch, *shape)
                start += numbers
            else:
                share = numbers // self.count
                leaf = blocks[..., start : start + share]
                leaf = leaf.swapaxes(-1, -2) if len(shape) == 1 else leaf
                leaf = leaf.reshape(*batch, *shape)
                start += share
            leaves.append(leaf)
        return jax.tree.unflatten(self.structure, leaves)

    def _cut(self, leaf: Array, shape: tuple[int, ...]) -> Array:
        batch = leaf.shape[: leaf.ndim - len(shape)]
        if self.size == 1:
            return leaf.reshape(*batch, math.prod(shape), 1)
        if len(shape) == 1:
            return leaf.reshape(*batch, math.prod(shape) // self.count, self.count).swapaxes(-1, -2)
        return leaf.reshape(*batch, self.count, math.prod(shape) // self.count)


@functools.lru_cache(maxsize=1024)
def state_blocks(cell: Cell) -> StateBlocks:
    """Return the blocks of the structure that a cell declares, ``facts.jacobian``; one of all numbers if it is dense.

    Raises:
        ArgumentError: if the declared number of blocks does not divide a part of the state.
    """
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: cell.initial_state(())))
    shapes = tuple(leaf.shape for leaf in leaves)
    n, facts = state_size(cell), cell.facts
    count = {
        JacobianStructure.DIAGONAL: n,
        JacobianStructure.BLOCK: facts.blocks or cell.spec.hidden_size,
        JacobianStructure.DENSE: 1,
    }[facts.jacobian]
    if count != n and any(math.prod(shape) % count for shape in shapes):
        raise ArgumentError(f"{count} blocks do not divide the state of a {cell.spec.kind} cell: correct its `blocks`")
    return StateBlocks(count, n // max(count, 1), shapes, structure)
