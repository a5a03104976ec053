"""Which words were seen after which feature: the pattern of the sparse matrix, and how a text finds its place in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.ngrams.snm.history_features import FeatureOccurrences, FeatureType, text_features


@dataclass(frozen=True, eq=False)
class Matches:
    """Which rows and entries of the matrix some tokens meet; a feature held twice is met twice.

    Attributes:
        places: int64 `[M]`, the token that is predicted.
        rows: int64 `[M]`, a feature of its history.
        entries: int64 `[M]`, the pair of feature and token; -1: never counted together.
    """

    places: np.ndarray
    rows: np.ndarray
    entries: np.ndarray


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of a training text and the words that follow them, as compressed sparse rows.

    Attributes:
        vocabulary: of the words.
        types: the types of features, each with rows of its own, one type after the other.
        row_starts: int64 `[K + 1]`, the rows of each type.
        keys: uint64 `[R]`, the features, sorted within each type.
        starts: int64 `[R + 1]`, the entries of each row, which has one at least.
        words: int32 `[E]`, sorted within each row.
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

    def rows_of(self, slot: FeatureOccurrences) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a slot's features, and which of them are there at all."""
        low, high = self.row_starts[slot.kind], self.row_starts[slot.kind + 1]
        at, seen = find_sorted(self.keys[low:high], slot.keys)
        return low + at, seen

    def match(self, tokens: np.ndarray, begin: int = 0, end: int | None = None) -> Matches:
        """The rows and entries of the tokens from ``begin`` to ``end``, seen features only."""
        places, rows, entries = [], [], []
        for slot in text_features(tokens, self.vocabulary, self.types, begin, end):
            row, seen = self.rows_of(slot)
            places.append(slot.places[seen])
            rows.append(row[seen])
            entry, both = find_sorted(self.pairs, rows[-1] * self.vocabulary.size + tokens[places[-1]])
            entries.append(np.where(both, entry, -1))
        return Matches(np.concatenate(places), np.concatenate(rows), np.concatenate(entries))


def find_sorted(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key stands among sorted ones, and whether it is there at all."""
    if not keys.size:
        return np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, bool)
    # In the order of the keys, a search finds near in memory what the one before it read.
    order = np.argsort(wanted)
    at = np.empty(wanted.shape, np.int64)
    at[order] = np.searchsorted(keys, wanted[order])
    at[at == keys.size] = 0
    return at, keys[at] == wanted


def concatenate_ranges(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of all concatenate_ranges, one range after the other, and which range each is of, int64."""
    widths = ends - begins
    of = np.repeat(np.arange(widths.size), widths)
    return np.arange(of.size) + (begins - np.cumsum(widths) + widths)[of], of
