"""Floating-point operations of a row's products with matrices, from their shapes."""

import math

import jax

from rnnlm_jax.array_types import Tree


def matrix_flops(params: Tree) -> int:
    """Return twice the size of all matrices in a tree: a multiplication and an addition for each entry and row.

    Args:
        params: arrays, or descriptions of arrays that have a ``shape``; those without two axes are not counted.
    """
    return sum(2 * math.prod(leaf.shape) for leaf in jax.tree.leaves(params) if len(leaf.shape) == 2)
