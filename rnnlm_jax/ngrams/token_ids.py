"""Checks of the token ids that callers give to n-gram models."""

from typing import Any

import numpy as np

from rnnlm_jax.array_types import Int, Integer
from rnnlm_jax.data import EncodedText
from rnnlm_jax.errors import ArgumentError


def checked_ids(tokens: Any, size: int) -> Integer[np.ndarray, "..."]:
    """Return token ids as an array after checking that they are from 0 to ``size - 1``.

    Args:
        tokens: an array, nested list or number.
        size: number of types in the vocabulary.

    Raises:
        ArgumentError: they are not whole numbers, or one is not in the vocabulary.
    """
    try:
        ids = np.asarray(tokens)
    except ValueError:  # lists of unequal lengths
        ids = np.empty(0, object)
    if ids.size == 0 and ids.dtype != object:
        return ids.astype(np.int32)
    if not np.issubdtype(ids.dtype, np.integer):
        raise ArgumentError(f"tokens must be an array of whole numbers, not {type(tokens).__name__} of {ids.dtype}")
    if ids.min() < 0 or ids.max() >= size:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise ArgumentError(f"token {wrong} is not among the {size:,} of the vocabulary: ids are from 0 to {size - 1}")
    return ids


def checked_text_ids(text: EncodedText, size: int) -> Int[np.ndarray, "N"]:
    """Return the ids of an encoded text after checking that they are below ``size``.

    Raises:
        ArgumentError: the text is not encoded.
        DataError: an id is not in the vocabulary.
    """
    if not isinstance(text, EncodedText):
        raise ArgumentError(f"the text must be encoded, vocabulary.encode(lines), not a {type(text).__name__}")
    text.require_ids_below(size)
    return np.asarray(text.tokens)
