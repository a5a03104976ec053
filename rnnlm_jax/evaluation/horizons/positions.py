"""Places of a text at which a model's past is examined: evenly spaced tokens, each with what the model read before."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.errors import UserError


class Places(NamedTuple):
    """Tokens to predict, and the inputs that lead to each."""

    indices: np.ndarray  # int [N], where in the text the targets stand
    inputs: np.ndarray  # int32 [steps, N], the tokens read before each target, the last one just before it
    targets: np.ndarray  # int32 [N]


def evenly(tokens: np.ndarray, start_id: int, steps: int, count: int) -> Places:
    """At most ``count`` tokens, evenly spaced over the text, each with the ``steps`` inputs before it.

    Args:
        tokens: the text, ``[N]``.
        start_id: the input before the first token.
        steps: how many inputs each place has.
        count: how many places.

    Raises:
        UserError: if the text is too short to hold one place.
    """
    first = steps - 1
    if first >= tokens.size:
        raise UserError(
            f"{steps:,} steps do not fit into a text of {tokens.size:,} tokens: ask for smaller lags, or give more text"
        )
    indices = np.unique(np.linspace(first, tokens.size - 1, count).round().astype(np.int64))
    inputs = np.concatenate([np.array([start_id], tokens.dtype), tokens[:-1]])
    return Places(indices, inputs[indices[None, :] + np.arange(1 - steps, 1)[:, None]], tokens[indices])


def batches(places: Places, size: int) -> list[Places]:
    """The places in batches of one size; the last is filled up with repetitions of the first place."""
    count = places.targets.size
    rows = np.concatenate([np.arange(count), np.zeros(-count % size, np.int64)]).reshape(-1, size)
    return [Places(places.indices[row], places.inputs[:, row], places.targets[row]) for row in rows]
