"""Explicit broadcasting, for programs that run with ``jax_numpy_rank_promotion="raise"``."""

import math

import jax

from rnnlm_jax.array_types import Array


def over_batch(vector: Array, like: Array) -> Array:
    """Return ``vector [F]`` as ``[1 …, F]``, which broadcasts over the batch axes of ``like [*B, F]``."""
    return jax.lax.expand_dims(vector, range(like.ndim - vector.ndim))


def over_parts(values: Array, like: Array) -> Array:
    """Return ``values [*B]`` as ``[*B, 1 …]``, which broadcasts over the last axes of ``like [*B, …]``."""
    return jax.lax.expand_dims(values, range(values.ndim, like.ndim))


def as_rows(part: Array, batch_axes: int) -> Array:
    """Return a part of a state ``[*B, …]`` with that many batch axes as vectors ``[*B, n]``."""
    return part.reshape(*part.shape[:batch_axes], math.prod(part.shape[batch_axes:]))
