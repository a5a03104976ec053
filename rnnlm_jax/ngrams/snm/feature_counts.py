"""Counts of the pairs of feature and word in a text, as a sparse matrix by rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data import Progress, Vocabulary, no_progress
from rnnlm_jax.ngrams.snm.feature_table import FeatureTable
from rnnlm_jax.ngrams.snm.history_features import FeatureType, text_features
from rnnlm_jax.ngrams.unique_keys import unique_keys


@dataclass(frozen=True, eq=False)
class FeatureCounts:
    """The features of a training text with their counts.

    Attributes:
        table: features and the words after them.
        counts: int32 `[E]`, ``C(f, w)``.
        totals: int64 `[R]`, ``C(f)``.
        shorter: int32 `[E]`, for an n-gram the entry of the n-gram without its first word; -1 if there is none.
        extensions: int32 `[E]`, for an n-gram ``N1+(· f w)``, the number of distinct words before it.
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
    *,
    progress: Progress = no_progress,
) -> FeatureCounts:
    """Count the pairs of feature and word in a training text, type by type.

    Args:
        tokens: text, int32 `[N]`, not empty.
        vocabulary: vocabulary of the tokens.
        types: types of features.
        progress: called with the number of tokens after each type.
    """
    keys, words, counts, widths, shorter = [], [], [], [], []
    row_starts, size = [0], 0
    ngrams: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # length of context -> positions and entries
    for feature in types:
        found = text_features(tokens, vocabulary, (feature,))
        positions = np.concatenate([occurrences.positions for occurrences in found])
        rows = unique_keys(np.concatenate([occurrences.keys for occurrences in found]))
        pairs = unique_keys(rows.inverse * vocabulary.size + tokens[positions])
        suffix = np.full(pairs.values.size, -1, np.int32)
        if not feature.remote:
            if feature.adjacent - 1 in ngrams:
                known_positions, entries = ngrams[feature.adjacent - 1]
                # A history with the longer context has the shorter one too.
                suffix[pairs.inverse] = entries[np.searchsorted(known_positions, positions)]
            ngrams[feature.adjacent] = positions, size + pairs.inverse
        keys.append(rows.values)
        words.append((pairs.values % vocabulary.size).astype(np.int32))
        counts.append(pairs.counts.astype(np.int32))
        widths.append(np.bincount(pairs.values // vocabulary.size, minlength=rows.values.size))
        shorter.append(suffix)
        row_starts.append(row_starts[-1] + rows.values.size)
        size += pairs.values.size
        progress(tokens.size)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(widths))])
    table = FeatureTable(vocabulary, types, np.array(row_starts), np.concatenate(keys), starts, np.concatenate(words))
    all_counts, suffixes = np.concatenate(counts), np.concatenate(shorter)
    return FeatureCounts(
        table,
        all_counts,
        np.add.reduceat(all_counts, starts[:-1], dtype=np.int64),
        suffixes,
        np.bincount(suffixes[suffixes >= 0], minlength=size).astype(np.int32),
        np.bincount(tokens, minlength=vocabulary.size),
    )
