"""The words seen after each feature: the sparsity pattern of the matrix, and its lookup for a text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.ngrams.snm.history_features import FeatureOccurrences, FeatureType, text_features


@dataclass(frozen=True, eq=False)
class Matches:
    """Rows and entries of the matrix for some tokens; a feature that occurs twice is matched twice.

    Attributes:
        positions: int64 `[M]`, position of the predicted token.
        rows: int64 `[M]`, row of a feature of its history.
        entries: int64 `[M]`, entry of feature and token; -1 if the matrix does not have it.
    """

    positions: np.ndarray
    rows: np.ndarray
    entries: np.ndarray


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of a training text and the words that follow them, as compressed sparse rows.

    Attributes:
        vocabulary: the V words.
        types: the K types of features; rows are ordered by type.
        row_starts: int64 `[K + 1]`, first row of each type.
        keys: uint64 `[R]`, key of each feature, sorted within each type.
        starts: int64 `[R + 1]`, first entry of each row; a row has at least one.
        words: int32 `[E]`, word of each entry, sorted within each row.
    """

    vocabulary: Vocabulary
    types: tuple[FeatureType, ...]
    row_starts: np.ndarray
    keys: np.ndarray
    starts: np.ndarray
    words: np.ndarray

    @cached_property
    def pairs(self) -> np.ndarray:
        """``row · V + word`` of each entry, int64 `[E]`, sorted."""
        return np.repeat(np.arange(self.keys.size) * self.vocabulary.size, np.diff(self.starts)) + self.words

    @cached_property
    def row_types(self) -> np.ndarray:
        """The type of each row, int8 `[R]`."""
        return np.repeat(np.arange(len(self.types), dtype=np.int8), np.diff(self.row_starts))

    def rows_of(self, occurrences: FeatureOccurrences) -> tuple[np.ndarray, np.ndarray]:
        """Return the row of each feature, and whether the table has the feature."""
        low, high = self.row_starts[occurrences.type_index], self.row_starts[occurrences.type_index + 1]
        index, seen = find_sorted(self.keys[low:high], occurrences.keys)
        return low + index, seen

    def match(self, tokens: np.ndarray, begin: int = 0, end: int | None = None) -> Matches:
        """Return the rows and entries of seen features for tokens ``begin`` to ``end - 1``."""
        positions, rows, entries = [], [], []
        for occurrences in text_features(tokens, self.vocabulary, self.types, begin=begin, end=end):
            row, seen = self.rows_of(occurrences)
            positions.append(occurrences.positions[seen])
            rows.append(row[seen])
            entry, present = find_sorted(self.pairs, rows[-1] * self.vocabulary.size + tokens[positions[-1]])
            entries.append(np.where(present, entry, -1))
        return Matches(np.concatenate(positions), np.concatenate(rows), np.concatenate(entries))


def find_sorted(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of each wanted key among sorted keys, and whether it is one of them."""
    if not keys.size:
        return np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, bool)
    # Sorted searches access memory locally.
    order = np.argsort(wanted)
    index = np.empty(wanted.shape, np.int64)
    index[order] = np.searchsorted(keys, wanted[order])
    index[index == keys.size] = 0
    return index, keys[index] == wanted


def concatenate_ranges(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the concatenation of integer ranges, and the index of the range of each number, int64."""
    widths = ends - begins
    index = np.repeat(np.arange(widths.size), widths)
    return np.arange(index.size) + (begins - np.cumsum(widths) + widths)[index], index
