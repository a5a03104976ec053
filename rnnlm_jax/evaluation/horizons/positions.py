"""Positions of a text at which a model is examined: evenly spaced target tokens, each with the inputs before it."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.errors import DataError


class Positions(NamedTuple):
    """N target tokens, and the inputs that the model reads before each."""

    indices: Int[np.ndarray, "N"]
    """Index of each target in the text."""
    inputs: Int[np.ndarray, "T N"]
    """The T tokens before each target, the last one directly before it."""
    targets: Int[np.ndarray, "N"]


def evenly_spaced(tokens: Int[np.ndarray, "n"], *, start_id: int, steps: int, count: int) -> Positions:
    """Return at most ``count`` positions, evenly spaced over a text.

    Args:
        tokens: text.
        start_id: input before the first token.
        steps: number of inputs of each position.
        count: number of positions.

    Raises:
        DataError: if the text is too short for one position.
    """
    first = steps - 1
    if first >= tokens.size:
        raise DataError(
            f"{steps:,} steps do not fit into a text of {tokens.size:,} tokens: ask for smaller lags, or give more text"
        )
    indices = np.unique(np.linspace(first, tokens.size - 1, count).round().astype(np.int64))
    inputs = np.concatenate([np.array([start_id], tokens.dtype), tokens[:-1]])
    return Positions(indices, inputs[indices[None, :] + np.arange(1 - steps, 1)[:, None]], tokens[indices])


def position_batches(positions: Positions, size: int) -> list[Positions]:
    """Return the positions in batches of one size; the last is filled up with repetitions of the first position."""
    count = positions.targets.size
    rows = np.concatenate([np.arange(count), np.zeros(-count % size, np.int64)]).reshape(-1, size)
    return [Positions(positions.indices[row], positions.inputs[:, row], positions.targets[row]) for row in rows]
