"""How often each feature and each word meet: a sparse matrix of counts, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.ngrams.snm.feature_table import FeatureTable
from rnnlm_jax.ngrams.snm.history_features import FeatureType, text_features


@dataclass(frozen=True, eq=False)
class FeatureCounts:
    """The table of a training text with its counts.

    Attributes:
        table: the features and words.
        counts: int32 `[E]`, ``C(f, w)``.
        totals: int64 `[R]`, ``C(f)``.
        shorter: int32 `[E]`, for an n-gram the entry of the same n-gram without its first word; -1: none.
        extensions: int32 `[E]`, for an n-gram ``N1+(· f w)``, how many words were seen before it.
        word_counts: int64 `[V]`, ``C(w)``.
    """

    table: FeatureTable
    counts: np.ndarray
    totals: np.ndarray
    shorter: np.ndarray
    extensions: np.ndarray
    word_counts: np.ndarray


def count_features(
    tokens: np.ndarray,
    vocabulary: Vocabulary,
    types: tuple[FeatureType, ...],
    progress: Callable[[int], object] = lambda tokens: None,
) -> FeatureCounts:
    """Count features and words over a training text, type by type.

    Args:
        tokens: the text, int32 `[N]`, not empty.
        vocabulary: of the tokens.
        types: of features.
        progress: told the number of tokens each time that a type is counted.
    """
    keys, words, counts, widths, shorter = [], [], [], [], []
    row_starts, size = [0], 0
    ngrams: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # length of the context -> places and their entries
    for feature in types:
        found = text_features(tokens, vocabulary, (feature,))
        where = np.concatenate([slot.places for slot in found])
        known, _, row = distinct(np.concatenate([slot.keys for slot in found]))
        pairs, times, entry = distinct(row * vocabulary.size + tokens[where])
        suffix = np.full(pairs.size, -1, np.int32)
        if not feature.remote:
            if feature.adjacent - 1 in ngrams:
                places, entries = ngrams[feature.adjacent - 1]
                # A history that has the longer context has the shorter one.
                suffix[entry] = entries[np.searchsorted(places, where)]
            ngrams[feature.adjacent] = where, size + entry
        keys.append(known)
        words.append((pairs % vocabulary.size).astype(np.int32))
        counts.append(times.astype(np.int32))
        widths.append(np.bincount(pairs // vocabulary.size, minlength=known.size))
        shorter.append(suffix)
        row_starts.append(row_starts[-1] + known.size)
        size += pairs.size
        progress(tokens.size)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(widths))])
    table = FeatureTable(vocabulary, types, np.array(row_starts), np.concatenate(keys), starts, np.concatenate(words))
    number, below = np.concatenate(counts), np.concatenate(shorter)
    return FeatureCounts(
        table,
        number,
        np.add.reduceat(number, starts[:-1], dtype=np.int64),
        below,
        np.bincount(below[below >= 0], minlength=size).astype(np.int32),
        np.bincount(tokens, minlength=vocabulary.size),
    )


def distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted distinct keys, how often each occurs, and the number of each key among them."""
    order = np.argsort(keys)
    by_size = keys[order]
    new = np.ones(keys.size, bool)
    np.not_equal(by_size[1:], by_size[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    numbers = np.empty(keys.size, np.int64)
    numbers[order] = np.cumsum(new) - 1
    return by_size[starts], np.diff(starts, append=keys.size), numbers
