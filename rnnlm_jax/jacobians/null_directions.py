"""Directions that a product of matrices certainly maps to zero: counted from where the zeros stand, not from numbers.

Rounding makes small numbers of zeros and zeros of small numbers, but entries that are zero stay so: a unit that is
switched off, a state that nothing reads. Where they stand bounds the rank of the product from above.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Bool, Int


class NullDirections(NamedTuple):
    """What is known of the zeros of a product of n × n matrices."""

    zero_rows: Bool[Array, " n"]
    """Rows of the product that are zero for certain."""
    known: Int[Array, ""]
    """So many singular values, at the least, are exactly zero."""


def no_directions(n: int) -> NullDirections:
    """Those of the empty product."""
    return NullDirections(jnp.zeros(n, bool), jnp.zeros((), jnp.int32))


def multiplied(nonzero: Bool[Array, "n n"], before: NullDirections, known: Int[Array, ""] | int = 0) -> NullDirections:
    """Those of ``J · P``.

    ``J P = Σ_k J[:, k] P[k, :]``, so its rank is at most the number of k for which neither factor is zero; it is also
    at most the rank of P, and the number of rows that are not zero.

    Args:
        nonzero: which entries of J are not zero, see ``nonzero_entries``.
        before: of P.
        known: so many singular values of J are known to be zero.
    """
    zero_rows = ~(nonzero & ~before.zero_rows[None, :]).any(axis=1)
    without_effect = before.zero_rows | ~nonzero.any(axis=0)
    counts = [before.known, *(z.sum(dtype=jnp.int32) for z in (zero_rows, without_effect))]
    return NullDirections(zero_rows, jnp.maximum(jnp.stack(counts).max(), jnp.asarray(known, jnp.int32)))


def nonzero_entries(matrix: Array) -> Bool[Array, "n n"]:
    """Which entries are not zero, denormal numbers among them, which comparisons take for zero on many machines."""
    if not jnp.issubdtype(matrix.dtype, jnp.floating):
        return matrix != 0
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(matrix), np.dtype(f"uint{8 * matrix.dtype.itemsize}"))
    return (bits << 1) != 0  # but for the sign
