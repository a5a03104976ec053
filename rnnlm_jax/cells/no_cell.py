"""A cell without units, for a language model whose output layer reads the last words itself."""

from typing import Any

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape


@cell_factory
def no_cell(dtype: Any = None, param_dtype: Any = jnp.float32) -> Cell[tuple[()], tuple[()]]:
    """Return a cell without units, parameters and state, whose output has size 0.

    It is not registered as a recurrence and cannot be unrolled; a language model skips it.

    Args:
        dtype: recorded in the spec; ``param_dtype`` unless given.
        param_dtype: dtype of the empty outputs.
    """

    def init(key: Key, input_size: int) -> tuple[()]:
        del key, input_size
        return ()

    def initial_state(batch_shape: tuple[int, ...]) -> tuple[()]:
        check_batch_shape(batch_shape)
        return ()

    def input_projection(params: Tree, x: Array) -> Array:
        del params
        return x[..., :0]

    def step(params: Tree, state: Tree, z: Array) -> Tree:
        del params, z
        return state

    def readout(params: Tree, state: Tree) -> Array:
        del params, state
        return jnp.zeros((0,), param_dtype)

    return Cell(
        CellSpec("none", 0, 0, dtype, param_dtype), init, initial_state, input_projection, readout, whole_step=step
    )
