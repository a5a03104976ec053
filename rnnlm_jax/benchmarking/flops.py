"""Floating-point operations of what is timed: those of matrix products, see ``rnnlm_jax.language_model.flops``."""

from typing import Any

from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.cells import Cell


def layer(cell: Cell, params: Any, rows: int, *, backward: bool) -> float:
    """Of ``rows`` = T·B tokens through a cell, forward, or forward and backward."""
    return float(cell.token_flops(params) * rows * (3 if backward else 1))


def language_model(cell_params: Any, hidden_size: int, vocabulary: int, rows: int, backward: bool) -> float:
    """Of ``rows`` tokens through cells and full softmax; looking up an embedding is no product."""
    return float((matrix_flops(cell_params) + 2 * hidden_size * vocabulary) * rows * (3 if backward else 1))
