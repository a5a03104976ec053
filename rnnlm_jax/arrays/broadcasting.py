"""Explicit broadcasting, for programs that run with ``jax_numpy_rank_promotion="raise"``."""

import jax

from rnnlm_jax.array_types import Array


def over_batch(vector: Array, like: Array) -> Array:
    """Return ``vector [F]`` as ``[1 …, F]``, which broadcasts over the batch axes of ``like [*B, F]``."""
    return jax.lax.expand_dims(vector, range(like.ndim - vector.ndim))
