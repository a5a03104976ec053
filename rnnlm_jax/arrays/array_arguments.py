"""Checks of array arguments: JAX and NumPy arrays, lists, tuples or numbers, before anything is traced.

Shapes and dtypes are always checked. Values are checked where they are known; under ``jit``, ``grad`` or ``vmap`` they
are not, and the compiled program is the same.
"""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.errors import ArgumentError


def as_array(name: str, value: Any) -> Array:
    """Return numbers or truth values as an array.

    Raises:
        ArgumentError: if they are not: words, None, lists of unequal lengths.
    """
    if isinstance(value, jax.Array):
        return value
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"`{name}` must be an array of numbers, not this {type(value).__name__}") from error


def as_floats(name: str, value: Any, dtype: Any) -> Float[Array, "..."]:
    """Return real floating-point numbers as an array; values without a dtype, such as a list, get ``dtype``.

    Raises:
        ArgumentError: if it is not an array of such numbers; whole numbers and truth values pass without a dtype only.
    """
    array = as_array(name, value)
    if not hasattr(value, "dtype") and jnp.issubdtype(array.dtype, jnp.number):
        array = array.astype(dtype) if not jnp.issubdtype(array.dtype, jnp.complexfloating) else array
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ArgumentError(
            f"`{name}` must be floating-point numbers, not {array.dtype}: convert them, or embed tokens first"
        )
    return array


def as_whole_numbers(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> Int[Array, "..."]:
    """Return whole numbers as an array; values that are known must be from ``least`` to ``most``, if given.

    Raises:
        ArgumentError: if they are not.
    """
    array = as_array(name, value)
    if not array.size and not hasattr(value, "dtype"):
        array = array.astype(jnp.int32)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ArgumentError(f"`{name}` must be whole numbers, not {array.dtype}: convert them to int32")
    numbers = isinstance(least, int) and isinstance(most, int)  # a size of an exported program may be a symbol
    known = known_values(value) if numbers else None
    if known is not None and known.size and not least <= known.min() <= known.max() <= most:
        wrong = known.min() if known.min() < least else known.max()
        raise ArgumentError(f"`{name}` must be from {least} to {most}, not {wrong}")
    return array


def as_flags(name: str, value: Any) -> Bool[Array, "..."]:
    """Return truth values as an array; numbers pass, and values that are known must be 0 or 1.

    Raises:
        ArgumentError: if they are not.
    """
    array = as_array(name, value)
    if array.dtype == bool:
        return array
    known = known_values(value)
    numbers = jnp.issubdtype(array.dtype, jnp.number)
    if not numbers or (known is not None and not ((known == 0) | (known == 1)).all()):
        raise ArgumentError(
            f"`{name}` must be true or false (or 1 and 0) at each step: compare numbers with a bound first"
        )
    return array.astype(bool)


def known_values(value: Any) -> np.ndarray | None:
    """Return the values of an argument; None if they are traced or some of them are on another host."""
    leaves = jax.tree.leaves(value)
    if any(isinstance(leaf, jax.core.Tracer) or not getattr(leaf, "is_fully_addressable", True) for leaf in leaves):
        return None
    return np.asarray(value)
