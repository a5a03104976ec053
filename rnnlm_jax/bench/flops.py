"""Floating-point operations that a cell or a language model cannot do without: those of its matrix products.

Every weight matrix meets every row of its input once, a multiplication and an addition a weight: 2 · rows · size. The
backward pass takes twice the forward one: a product for the gradient of the rows, another for that of the weights.
What is elementwise is not counted, and what an implementation computes twice is counted once.

===========================  ===============================
cell                         forward, a token
===========================  ===============================
Elman, linear                2 (D H + H H)
GRU                          2 · 3 (D H + H H)
coupled LSTM, LSTM of 1997   2 · 3 (D H + H H)
LSTM, with peepholes or not  2 · 4 (D H + H H)
LSTMP                        2 (4 D H + 4 P H + H P)
softmax                      2 H V
===========================  ===============================
"""

from typing import Any

import jax
import numpy as np


def per_row(params: Any) -> int:
    """Of one token through the weights of a cell, or a stack of them: twice the size of all its matrices."""
    return sum(2 * int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params) if len(leaf.shape) == 2)


def layer(params: Any, rows: int, backward: bool) -> float:
    """Of ``rows`` = T·B tokens through a cell, forward, or forward and backward."""
    return float(per_row(params) * rows * (3 if backward else 1))


def language_model(cell_params: Any, hidden_size: int, vocabulary: int, rows: int, backward: bool) -> float:
    """Of ``rows`` tokens through cells and full softmax; looking up an embedding is no product."""
    return float((per_row(cell_params) + 2 * hidden_size * vocabulary) * rows * (3 if backward else 1))
