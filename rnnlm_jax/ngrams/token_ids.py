"""Token ids as callers give them to n-gram models: arrays, lists or numbers, checked against the vocabulary."""

from typing import Any

import numpy as np

from rnnlm_jax.errors import DataError


def checked_ids(tokens: Any, size: int) -> np.ndarray:
    """Return ids as an array, every one of them from 0 to ``size - 1``.

    Raises:
        DataError: if they are not whole numbers, or one is not in the vocabulary.
    """
    try:
        ids = np.asarray(tokens)
    except ValueError:  # lists of unequal lengths
        ids = np.empty(0, object)
    if ids.size == 0 and ids.dtype != object:
        return ids.astype(np.int32)
    if not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"tokens must be an array of whole numbers, not {type(tokens).__name__} of {ids.dtype}")
    if ids.min() < 0 or ids.max() >= size:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise DataError(f"token {wrong} is not among the {size:,} of the vocabulary: ids are from 0 to {size - 1}")
    return ids


def checked_text_ids(text: Any, size: int) -> np.ndarray:
    """Return the ids ``[N]`` of an encoded text, every one of them in the vocabulary.

    Raises:
        DataError: if it is not an encoded text, or has an id that the vocabulary lacks.
    """
    if not hasattr(text, "require_ids_below"):
        raise DataError(f"a text must be encoded, vocabulary.encode(lines), and not a {type(text).__name__}")
    text.require_ids_below(size)
    return np.asarray(text.tokens)
