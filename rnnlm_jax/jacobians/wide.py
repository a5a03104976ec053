"""Where products of Jacobians are computed: in float64 on any platform that has it, whatever the cells' own type.

A step whose rows are nearly parallel (an LSTM's, where a cell crosses zero) costs a digit of its least singular value
for each power of ten of its condition number; float32 has seven digits, and a thousand steps meet some such step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.compilation import under_jit, warn_of_float64
from rnnlm_jax.errors import UserError


def arithmetic_dtype(asked: Any = None, *others: str) -> np.dtype:
    """The type that was asked for; else float64, or float32 on a TPU, which has no other.

    Raises:
        UserError: for any other type than these two; it names ``others``, what else the caller takes.
    """
    if asked is not None:
        if asked not in ("float32", "float64", np.float32, np.float64):
            raise UserError(f"arithmetic must be {' or '.join(('float32', 'float64', *others))}, not {asked!r}")
        return np.dtype(asked)
    return np.dtype("float32" if jax.default_backend() == "tpu" else "float64")


@contextmanager
def wide(dtype: np.dtype) -> Iterator[None]:
    """Let float64 exist inside, also where x64 is switched off, if it is wanted; and products keep all their digits.

    (A GPU's default for float32 products has ten bits.)
    """
    with jax.default_matmul_precision("highest"):
        if dtype != np.dtype("float64"):
            yield
            return
        if under_jit():
            warn_of_float64(dtype)
        with jax.enable_x64(True):
            yield


def as_type(tree: Tree, dtype: Any) -> Tree:
    """A tree with its floating-point leaves in one type."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
