"""Row-sparse gradients: a batch reads few rows of a large table, and only those have a gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Tree

#: The id of an unused slot. It is beyond every table, so that a scatter with ``mode="drop"`` ignores it.
UNUSED = np.iinfo(np.int32).max


class RowGradient(NamedTuple):
    """The gradient of a table ``[V, D]`` that is zero except in some rows, each listed once.

    ``rows[k]`` is the gradient of row ``ids[k]``; where ``ids[k]`` is ``UNUSED``, ``rows[k]`` is zero.
    """

    ids: Int[Array, " N"]
    rows: Float[Array, "N *D"]
    """A bias is a table with numbers as rows."""

    def __radd__(self, table: Array) -> Array:
        """Return the table with the rows added, in place where its buffer is donated."""
        return table.at[self.ids].add(self.rows, mode="drop", unique_indices=True)


def is_row_gradient(leaf: object) -> bool:
    """Return whether a node of a gradient is a ``RowGradient``, which is then taken as one leaf."""
    return isinstance(leaf, RowGradient)


def sum_duplicate_rows(ids: Int[Array, " N"], rows: Float[Array, "N *D"]) -> RowGradient:
    """Return the gradient ``Σ_{k: ids[k] = v} rows[k]`` of every row v in ``ids``, in ascending order of v.

    Sums are formed before anything squares or scales them, in the order of ``k``: the bits are those of
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
    """Return the rows of a table that a ``RowGradient`` lists; any row for ``UNUSED``."""
    return table.at[ids].get(mode="clip")


def write_rows(table: Float[Array, "V *D"], ids: Int[Array, " N"], rows: Float[Array, "N *D"]) -> Float[Array, "V *D"]:
    """Return the table with rows replaced, in place if its buffer is donated; ``UNUSED`` writes nothing."""
    return table.at[ids].set(rows, mode="drop", unique_indices=True)


def dense_gradient(gradient: Tree, params: Tree) -> Tree:
    """Return the gradient with every ``RowGradient`` as an array like its parameter."""

    def dense(p: Array, g: Array | RowGradient) -> Array:
        if not isinstance(g, RowGradient):
            return g
        return jnp.zeros(p.shape, g.rows.dtype).at[g.ids].add(g.rows, mode="drop", unique_indices=True)

    return jax.tree.map(dense, params, gradient)
