"""Tangents of ``jax.custom_jvp`` rules with ``symbolic_zeros=True``: those known to be zero are ``SymbolicZero``."""

from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.mesh_axes import zeros_of


def is_zero(tangent: Any) -> bool:
    """Return whether a tangent is known to be zero, so that products with it can be left out."""
    return isinstance(tangent, SymbolicZero)


def instantiated(tangents: Tree) -> Tree:
    """Return a tree of tangents in which symbolic zeros are arrays of zeros."""
    return jax.tree.map(lambda tangent: zeros_of(tangent.aval) if is_zero(tangent) else tangent, tangents)
