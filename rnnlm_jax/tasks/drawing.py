"""Parts of generators: lengths of sequences, positions in them, and symbols as vectors; shapes depend on sizes only."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks.answers import check_count
from rnnlm_jax.tasks.task import check_sample_sizes


def check_shortest(shortest: int, least: int) -> int:
    """Return the least length of a task whose option ``shortest`` is the least length of its sequences.

    Args:
        shortest: 0 if all sequences have the full length.
        least: the least length for which the task is defined.

    Raises:
        ArgumentError: if it is neither 0 nor at least ``least``.
    """
    if check_count("shortest", shortest, least=0) and shortest < least:
        raise ArgumentError(f"`shortest` must be 0 or at least {least} for this task, not {shortest}")
    return max(shortest, least)


def draw_lengths(key: Key, batch_size: int, length: int, *, shortest: int, least: int) -> Int[Array, " B"]:
    """Return a length for each sequence: uniform from ``shortest`` to ``length``, or ``length`` if that is 0.

    Raises:
        ArgumentError: if the batch size is not positive, or the length is less than ``least``.
    """
    check_sample_sizes(batch_size, length, shortest=least)
    return jax.random.randint(key, (batch_size,), shortest or length, length + 1, jnp.int32)


def mean_length(length: int, shortest: int) -> float:
    """Return the mean of ``draw_lengths``."""
    return (length + shortest) / 2 if shortest else length


def draw_between(key: Key, low: Int[Array, " B"] | int, high: Int[Array, " B"]) -> Int[Array, " B"]:
    """Return a whole number for each sequence, uniform from ``low`` up to but not including ``high``."""
    return jax.random.randint(key, high.shape, low, high, jnp.int32)


def draw_symbols(key: Key, shape: tuple[int, ...], low: int, high: int) -> Int[Array, "..."]:
    """Return symbols, uniform from ``low`` up to but not including ``high``."""
    return jax.random.randint(key, shape, low, high, jnp.int32)


def steps_at(positions: Int[Array, " B"], steps: int) -> Bool[Array, "T B"]:
    """Return which of ``steps`` steps is at the position of each sequence."""
    return jnp.arange(steps, dtype=jnp.int32)[:, None] == positions[None, :]


def steps_before(ends: Int[Array, " B"], steps: int) -> Bool[Array, "T B"]:
    """Return which of ``steps`` steps are before the end of each sequence."""
    return jnp.arange(steps, dtype=jnp.int32)[:, None] < ends[None, :]


def one_hot(
    symbols: Int[Array, "T B"], alphabet: int, inside: Bool[Array, "T B"] | None = None
) -> Float[Array, "T B D"]:
    """Return symbols as one-hot vectors, zero outside the sequences."""
    vectors = jax.nn.one_hot(symbols, alphabet, dtype=jnp.float32)
    return vectors if inside is None else vectors * inside[..., None].astype(jnp.float32)


def at_all_steps(values: Array, steps: int) -> Array:
    """Return one value for each sequence ``[B, …]``, repeated at all steps ``[T, B, …]``."""
    return jnp.broadcast_to(values[None], (steps, *values.shape))


def draw_rows(key: Key, batch_size: int, rows: int, *, in_order: bool) -> Int[Array, " B"]:
    """Return rows of a fixed set: drawn with replacement, or all in turn, in random order, and again from the first."""
    if not in_order:
        return draw_symbols(key, (batch_size,), 0, rows)
    order = jax.random.permutation(key, jnp.arange(rows, dtype=jnp.int32))
    return jnp.tile(order, -(-batch_size // rows))[:batch_size]


def joined(lengths: Int[Array, "N B"], steps: int) -> tuple[Int[Array, "T B"], Int[Array, "T B"]]:
    """Return for each step of pieces joined end to end which piece it is in, and how far from the piece's start.

    Args:
        lengths: the lengths of the pieces, together at least ``steps`` in each sequence.
        steps: T.
    """
    ends = jnp.cumsum(lengths, axis=0, dtype=jnp.int32)
    places = jnp.arange(steps, dtype=jnp.int32)
    piece = jax.vmap(lambda column: jnp.searchsorted(column, places, side="right"), in_axes=1, out_axes=1)(ends)
    piece = piece.astype(jnp.int32)
    starts = jnp.take_along_axis(ends - lengths, piece, axis=0)
    return piece, places[:, None] - starts
