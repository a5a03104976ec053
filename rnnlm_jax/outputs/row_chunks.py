"""A scan over chunks of rows, for losses whose intermediate arrays would be too large for all rows at once."""

from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Tree

Carry = TypeVar("Carry")


class ChunkFn(Protocol[Carry]):
    """Processes one chunk."""

    def __call__(self, carry: Carry, chunk: tuple[Array, ...], /) -> tuple[Carry, Tree]:
        """Return the new carry, and results whose first axis is that of the chunk's rows."""
        ...


def equal_chunk_rows(count: int, longest: int) -> int:
    """Return the length of equal chunks of ``count`` rows, at most ``longest``; the last chunk may be shorter."""
    return -(-count // max(-(-count // longest), 1)) if count else 1


def scan_row_chunks(body: ChunkFn[Carry], carry: Carry, arrays: tuple[Array, ...], rows: int) -> tuple[Carry, Tree]:
    """Run ``body`` over chunks of rows; a single chunk needs no loop.

    Args:
        body: function of a carry and a chunk.
        carry: initial carry.
        arrays: arrays ``[N, ...]``.
        rows: rows per chunk; the last chunk is filled up with rows of zeros.

    Returns:
        the final carry, and the results for all N rows.
    """
    count = arrays[0].shape[0]
    chunks = -(-count // rows)
    if chunks <= 1:
        return body(carry, arrays)

    def cut(array: Array) -> Array:
        padding = [(0, chunks * rows - count)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(chunks, rows, *array.shape[1:])

    carry, results = jax.lax.scan(body, carry, tuple(cut(array) for array in arrays))
    return carry, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], results)
