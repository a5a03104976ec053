"""Distinct keys of an array with their counts."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int


class UniqueKeys(NamedTuple):
    """The n distinct values of N keys."""

    values: np.ndarray  # [n], sorted, of the type of the keys
    counts: Int[np.ndarray, "n"]  # occurrences of each
    indices: Int[np.ndarray, "n"]  # the index of one occurrence of each
    inverse: Int[np.ndarray, "N"]  # the number of each key among `values`


def unique_keys(keys: np.ndarray) -> UniqueKeys:
    """Return the distinct keys of an integer array ``[N]``; twice as fast as ``np.unique``, which sorts stably."""
    order = np.argsort(keys)
    ordered = keys[order]
    new = np.ones(keys.size, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    inverse = np.empty(keys.size, np.int64)
    inverse[order] = np.cumsum(new) - 1
    return UniqueKeys(ordered[starts], np.diff(starts, append=keys.size), order[starts], inverse)
