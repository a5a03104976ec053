"""Gradients of a table by row: a batch reads few rows of a large embedding, and only those have a gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree

#: The id of a slot that holds no row. It is beyond every table, so that a scatter with ``mode="drop"`` passes it over.
UNUSED = np.iinfo(np.int32).max


class RowGradient(NamedTuple):
    """The gradient of a table ``[V, D]`` that is zero but for some rows, each named once.

    ``rows[k]`` is the gradient of row ``ids[k]``; where ``ids[k]`` is ``UNUSED``, ``rows[k]`` is zero.
    """

    ids: Int[Array, " N"]
    rows: Float[Array, "N *D"]
    """A bias is a table whose rows are numbers."""


def sum_duplicate_rows(ids: Int[Array, " N"], rows: Float[Array, "N *D"]) -> RowGradient:
    """The gradient ``Σ_{k: ids[k] = v} rows[k]`` of every row v that is named, in ascending order of v.

    The sums are taken before anything squares or scales them, in the order of ``k``: the bits are those of
    ``zeros([V, D]).at[ids].add(rows)``, while time and memory depend on N and D only.
    """
    found, slots = unique_ids(ids, ids.size)
    return RowGradient(found, jnp.zeros_like(rows).at[slots].add(rows))


def unique_ids(ids: Int[Array, " N"], size: int) -> tuple[Int[Array, " M"], Int[Array, " N"]]:
    """Return the distinct ids in ascending order, and the position of each id among them.

    Equal to ``jnp.unique(ids, size=size, fill_value=UNUSED, return_inverse=True)``, and a little faster.

    Args:
        ids: ids, not negative.
        size: M, at least the number of distinct ids; the rest of the result is ``UNUSED``.
    """
    order = jnp.argsort(ids, stable=True)
    ordered = ids[order]
    slots = jnp.cumsum(jnp.diff(ordered, prepend=ordered[:1]) != 0, dtype=jnp.int32)
    found = jnp.full((size,), UNUSED, jnp.int32).at[slots].set(ordered.astype(jnp.int32), indices_are_sorted=True)
    return found, jnp.zeros_like(slots).at[order].set(slots, unique_indices=True)


def read_rows(table: Float[Array, "V *D"], ids: Int[Array, " N"]) -> Float[Array, "N *D"]:
    """The rows of a table that a ``RowGradient`` names; any row for ``UNUSED``."""
    return table.at[ids].get(mode="clip")


def write_rows(table: Float[Array, "V *D"], ids: Int[Array, " N"], rows: Float[Array, "N *D"]) -> Float[Array, "V *D"]:
    """The table with those rows replaced, in place where its buffer is donated; ``UNUSED`` writes nothing."""
    return table.at[ids].set(rows, mode="drop", unique_indices=True)


def dense_gradient(gradient: Tree, params: Tree) -> Tree:
    """The gradient with every ``RowGradient`` as an array like its parameter."""

    def dense(p: Array, g: Array | RowGradient) -> Array:
        if not isinstance(g, RowGradient):
            return g
        return jnp.zeros(p.shape, g.rows.dtype).at[g.ids].add(g.rows, mode="drop", unique_indices=True)

    return jax.tree.map(dense, params, gradient)
