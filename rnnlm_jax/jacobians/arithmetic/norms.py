"""Euclidean norms of vectors whose squares overflow or underflow."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float


def norm(vectors: Float[Array, "*B n"]) -> Float[Array, "*B"]:
    """Return ``‖v‖₂`` along the last axis, computed from v divided by its largest entry; the derivative at 0 is 0."""
    largest = jax.lax.stop_gradient(jnp.abs(vectors).max(axis=-1, initial=0))
    divisor = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.ones((), largest.dtype))
    squares = jnp.square(vectors / divisor[..., None]).sum(axis=-1)
    zero = squares == 0
    return divisor * jnp.where(zero, squares, jnp.sqrt(jnp.where(zero, jnp.ones_like(squares), squares)))
