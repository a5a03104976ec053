"""Parameters of a language model."""

from typing import NamedTuple

import jax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.serialized_types import serialized


@serialized
class LanguageModelParams(NamedTuple):
    """Parameters of the input layer, the cell and the output layer."""

    embedding: Tree
    """Of the input layer; for an embedding the table ``[V, D]``."""
    cell: Tree
    """Of the cell; for a stack a tuple, the lowest layer first."""
    output: Tree


def parameter_count(params: Tree) -> int:
    """Return the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
