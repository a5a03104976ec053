"""Lower bounds on the number of singular values that are exactly zero, from the zero entries of the factors.

Rounding can turn a zero into a small number and a small number into a zero, so numbers do not prove that a matrix is
singular. Entries that are exactly zero (a unit that is switched off, a part of the state that is never read) do: their
positions bound the rank of the product from above.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Int


class NullDirections(NamedTuple):
    """Certain zeros of a product of n × n matrices."""

    zero_rows: Bool[Array, " n"]
    """Rows of the product that are certainly zero."""
    known: Int[Array, ""]
    """Lower bound on the number of singular values that are exactly zero."""


def no_null_directions(n: int) -> NullDirections:
    """Return those of the empty product, the identity."""
    return NullDirections(jnp.zeros(n, bool), jnp.zeros((), jnp.int32))


def null_directions_of_product(
    nonzero: Bool[Array, "n n"], before: NullDirections, known: Int[Array, ""] | int = 0
) -> NullDirections:
    """Return the certain zeros of ``J · P``.

    ``J P = Σ_k J[:, k] P[k, :]``, so its rank is at most the number of k for which neither ``J[:, k]`` nor ``P[k, :]``
    is zero. It is also at most the rank of J, the rank of P, and the number of nonzero rows.

    Args:
        nonzero: which entries of J are not zero, see ``nonzero_entries``.
        before: the certain zeros of P.
        known: number of J's singular values that are known to be zero.
    """
    zero_rows = ~(nonzero & ~before.zero_rows[None, :]).any(axis=1)
    without_effect = before.zero_rows | ~nonzero.any(axis=0)
    counts = [before.known, *(z.sum(dtype=jnp.int32) for z in (zero_rows, without_effect))]
    return NullDirections(zero_rows, jnp.maximum(jnp.stack(counts).max(), jnp.asarray(known, jnp.int32)))


def nonzero_entries(matrix: Array) -> Bool[Array, "*B"]:
    """Mark the nonzero entries, subnormal numbers included, which comparisons with 0 miss on many processors."""
    if not jnp.issubdtype(matrix.dtype, jnp.floating):
        return matrix != 0
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(matrix), np.dtype(f"uint{8 * matrix.dtype.itemsize}"))
    return (bits << 1) != 0  # all bits but the sign
