"""Parameters of a language model."""

from typing import NamedTuple

import jax

from rnnlm_jax.array_types import Key, Tree
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


def uniform_params(key: Key, params: Tree, scale: float) -> Tree:
    """Draw every leaf from U(-scale, scale), with the shapes and dtypes of ``params``."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(k, p.shape, p.dtype, -scale, scale) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)
