"""What the recurrences that have kernels share: rows of sequences, masks and resets, tangents that are zero."""

from typing import Any

import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rnnlm_jax.array_types import Array, Bool, Float
from rnnlm_jax.arrays.mesh_axes import zeros_of


def as_rows(a: Float[Array, "T B F"]) -> Float[Array, "T*B F"]:
    """``[T, B, F]`` as ``[T*B, F]``, the shape of products: so XLA sees that kernels may take over their memory."""
    return a.reshape(-1, a.shape[-1])


def dense(tangent: Any) -> Array:
    """A tangent, if it is a symbolic zero as an array of zeros."""
    if not isinstance(tangent, SymbolicZero):
        return tangent
    return zeros_of(tangent.aval)


def truths(control: Float[Array, "T B"]) -> Bool[Array, "T B 1"] | None:
    """Factors 0 and 1 of steps as truth values beside units; None where there are none, of shape [0, 0]."""
    return (control != 0)[..., None] if control.shape != (0, 0) else None


def clear(carry: Bool[Array, "B 1"] | None, value: Float[Array, "B H"]) -> Float[Array, "B H"]:
    """``value`` where the state is carried, 0 where it is reset."""
    return value if carry is None else jnp.where(carry, value, 0)
