"""The dtype in which products of Jacobians are computed: float64 where the platform has it, also for float32 cells.

A step whose Jacobian has nearly parallel rows (an LSTM at which a component of c crosses zero) costs its least singular
value one decimal digit for each power of ten of the condition number. Float32 has seven digits, and a sequence of a
thousand steps contains such steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rnnlm_jax.array_types import Tree
from rnnlm_jax.compilation import under_jit, warn_of_float64
from rnnlm_jax.errors import ArgumentError


def arithmetic_dtype(arithmetic: DTypeLike | None = None, *others: str) -> np.dtype:
    """Return the dtype that the argument ``arithmetic`` names; by default float64, or float32 on a TPU.

    Args:
        arithmetic: "float32", "float64", their NumPy types, or None.
        others: further values that the caller accepts, for the error message.

    Raises:
        ArgumentError: for any other value.
    """
    if arithmetic is not None:
        if arithmetic not in ("float32", "float64", np.float32, np.float64):
            allowed = " or ".join(("float32", "float64", *others))
            raise ArgumentError(f"`arithmetic` must be {allowed}, not {arithmetic!r}")
        return np.dtype(arithmetic)
    return np.dtype("float32" if jax.default_backend() == "tpu" else "float64")


@contextmanager
def computing_in(dtype: np.dtype) -> Iterator[None]:
    """Compute in full precision within a block, with float64 available if ``dtype`` is float64, even where x64 is off.

    (By default a GPU multiplies float32 matrices with ten bits.)
    """
    with jax.default_matmul_precision("highest"):
        if dtype != np.dtype("float64"):
            yield
            return
        if under_jit():
            warn_of_float64(dtype)
        with jax.enable_x64(True):
            yield


def as_type(tree: Tree, dtype: DTypeLike) -> Tree:
    """Return a tree with its floating-point leaves cast to ``dtype``."""

    def cast(leaf: Any) -> Any:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
