"""Which rows of a table are named at all, in time and memory that do not depend on the table."""

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Int
from rnnlm_jax.arrays.sparse_rows import UNUSED


def distinct_rows(ids: Int[Array, " E"], most: int) -> tuple[Int[Array, " M"], Int[Array, " E"]]:
    """The ids in ascending order, each once, and where among them each entry's id is.

    Args:
        ids: not negative.
        most: M, at least as many as there are different ones; what is left over is ``UNUSED``.
    """
    order = jnp.argsort(ids)
    ordered = ids[order]
    slots = jnp.cumsum(jnp.diff(ordered, prepend=ordered[:1]) != 0, dtype=jnp.int32)
    found = jnp.full((most,), UNUSED, jnp.int32).at[slots].set(ordered.astype(jnp.int32), indices_are_sorted=True)
    return found, jnp.zeros_like(slots).at[order].set(slots, unique_indices=True)
