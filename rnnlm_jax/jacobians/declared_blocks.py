"""The structure of the step Jacobian that a cell declares, as the functions of this package read it."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.cell_facts import JacobianStructure
from rnnlm_jax.cells.state_blocks import StateBlocks, state_blocks


def declared_blocks(cell: Cell) -> StateBlocks | None:
    """Return the N blocks of m numbers that ``∂s_t/∂s_{t-1}`` consists of; None for a cell that declares no structure.

    A product of Jacobians has the same blocks, so that spectra, exponents and determinants are those of N matrices of
    size m. With blocks of one number (a diagonal Jacobian) they are sums of logarithms of its entries.
    """
    return None if cell.facts.jacobian is JacobianStructure.DENSE else state_blocks(cell)


def matrix_of_blocks(blocks: StateBlocks, values: Float[Array, "N m m"]) -> Float[Array, "n n"]:
    """Return a matrix over the state's vector, given its blocks; other entries are zero."""
    n = blocks.count * blocks.size
    ends = np.cumsum([math.prod(shape) for shape in blocks.shapes])[:-1]
    numbers = np.split(np.arange(n, dtype=np.float32), ends)  # exact below 2²⁴
    leaves = [jnp.asarray(part.reshape(shape)) for part, shape in zip(numbers, blocks.shapes, strict=True)]
    positions = blocks.join(jax.tree.unflatten(blocks.structure, leaves)).astype(jnp.int32)
    return jnp.zeros((n, n), values.dtype).at[positions[:, :, None], positions[:, None, :]].set(values)
