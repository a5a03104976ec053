"""Euclidean norms whose squares may lie beyond the range of floating-point numbers."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float


def norm(vectors: Float[Array, "*B n"]) -> Float[Array, "*B"]:
    """``‖v‖`` along the last axis, taken of v divided by its largest entry."""
    largest = jax.lax.stop_gradient(jnp.abs(vectors).max(axis=-1, initial=0))
    divisor = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.ones((), largest.dtype))
    return divisor * jnp.linalg.norm(vectors / divisor[..., None], axis=-1)
