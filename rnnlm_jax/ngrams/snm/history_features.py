"""Features of histories: n-grams and skip-grams, as 64-bit keys computed for a whole text at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ArgumentError


@dataclass(frozen=True)
class FeatureType:
    """A type of feature: the words of the history that it consists of (Shazeer et al. 2015, section 3).

    These are ``remote`` words, then skipped words, then the ``adjacent`` words before the target. Without remote words
    it is the context of an n-gram of order ``adjacent + 1``. From ``nearest`` to ``farthest`` words are skipped; these
    distances are tied, so a history may have the same feature several times.

    Raises:
        ArgumentError: the numbers do not describe a feature.
    """

    adjacent: int
    remote: int = 0
    nearest: int = 0
    farthest: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.adjacent < 0 or self.remote < 0:
            raise ArgumentError(f"numbers of words in a feature must be 0 or more: {self}")
        if self.remote and not 1 <= self.nearest <= self.farthest:
            raise ArgumentError(f"a skip-gram must skip from 1 or more (`nearest`) to `farthest` words: {self}")
        if not self.remote and (self.nearest or self.farthest):
            raise ArgumentError(f"a feature without remote words does not skip words: {self}")

    @property
    def name(self) -> str:
        """``3-gram``, or ``remote/skipped/adjacent`` like ``1/2..5/1``."""
        if not self.remote:
            return f"{self.adjacent + 1}-gram"
        skipped = str(self.nearest) if self.nearest == self.farthest else f"{self.nearest}..{self.farthest}"
        return f"{self.remote}/{skipped}/{self.adjacent}"


def ngram_types(order: int) -> tuple[FeatureType, ...]:
    """Return the contexts of n-grams of orders 1 (the empty context) to ``order``.

    Raises:
        ArgumentError: ``order`` is not positive.
    """
    if order < 1:
        raise ArgumentError(f"the `order` of an n-gram model must be at least 1, not {order}")
    return tuple(FeatureType(adjacent) for adjacent in range(order))


#: Tied ranges (nearest, farthest) of the number of skipped words, by the number of words of a feature.
_SKIPS = {1: ((1, 1), (2, 2), (3, 10)), 2: ((1, 1), (2, 4)), 3: ((1, 1), (2, 3))}


def skip_types(order: int) -> tuple[FeatureType, ...]:
    """Return skip-grams to use with n-grams up to ``order``: of up to three words, and at most ``order - 1``.

    Features of more words skip fewer, since otherwise they rarely occur again.

    Raises:
        ArgumentError: ``order`` is below 2.
    """
    if order < 2:
        raise ArgumentError(f"skip-grams have at least one word: give an order of 2 or more, not {order}")
    return tuple(
        FeatureType(adjacent, words - adjacent, nearest, farthest)
        for words in range(1, min(order, 4))
        for adjacent in range(words)
        for nearest, farthest in _SKIPS[words]
    )


@dataclass(frozen=True, eq=False)
class FeatureOccurrences:
    """The occurrences of features of one type at one distance.

    Attributes:
        type_index: index of the type.
        keys: uint64 `[n]`, the key of each feature.
        positions: int64 `[n]`, the position of each history: that of the token that it predicts.
    """

    type_index: int
    keys: np.ndarray
    positions: np.ndarray


class WordAt(Protocol):
    """Look up words of histories."""

    def __call__(self, positions: np.ndarray, distance: int, /) -> np.ndarray:
        """Return the id of the word ``distance`` words before each position, int ``[n]``."""
        ...


def longest_history(types: tuple[FeatureType, ...]) -> int:
    """Return the number of words of history that the features need."""
    return max(feature.remote + feature.farthest + feature.adjacent for feature in types)


def text_features(
    tokens: np.ndarray,
    vocabulary: Vocabulary,
    types: tuple[FeatureType, ...],
    *,
    begin: int = 0,
    end: int | None = None,
) -> list[FeatureOccurrences]:
    """Return the features of the histories of tokens ``begin`` to ``end - 1``, by type and increasing distance.

    The word before the first word of a sentence is ``<s>``, with id ``vocabulary.size``.
    """
    end = tokens.size if end is None else end
    # Tokens further back are not needed, and cutting there does not look like the start of a sentence.
    first = max(begin - longest_history(types), 0)
    lengths = history_lengths(tokens[first:end], vocabulary.eos_id)

    def word(positions: np.ndarray, distance: int) -> np.ndarray:
        return np.where(lengths[positions - first] == distance, vocabulary.size, tokens[positions - distance])

    return _feature_occurrences(np.arange(begin, end), lengths[begin - first :], word, types=types)


def state_features(words: np.ndarray, lengths: np.ndarray, types: tuple[FeatureType, ...]) -> list[FeatureOccurrences]:
    """Return the features of histories ``[R, C]``, nearest word first, with ``lengths`` ``[R]``, ``<s>`` included."""

    def word(positions: np.ndarray, distance: int) -> np.ndarray:
        return words[positions, distance - 1]

    return _feature_occurrences(np.arange(lengths.size), lengths, word, types=types)


def history_lengths(tokens: np.ndarray, eos_id: int | None) -> np.ndarray:
    """Return the number of words before each token in its sentence, ``<s>`` included: int64 `[N]`, at least 1.

    A sentence begins after an end-of-line token; a text without such tokens is one sentence.
    """
    positions = np.arange(tokens.size)
    if eos_id is None:
        return positions + 1
    first = np.zeros(tokens.size, np.int64)
    first[1:] = np.where(tokens[:-1] == eos_id, positions[1:], 0)
    return positions - np.maximum.accumulate(first) + 1


def _feature_occurrences(
    positions: np.ndarray,
    lengths: np.ndarray,
    word: WordAt,
    *,
    types: tuple[FeatureType, ...],
) -> list[FeatureOccurrences]:
    """Return the features of the histories at some positions, whose words ``word`` returns.

    A key is a 64-bit hash of the words, mixed after each word. Features of one type with equal keys are one feature of
    the model, which still sums to 1; with ten million features this happens in one of 400,000 corpora.
    """
    found = []
    for type_index, feature in enumerate(types):
        for skipped in range(feature.nearest, feature.farthest + 1):
            span = feature.remote + skipped + feature.adjacent
            long_enough = positions[lengths >= span]
            keys = np.zeros(long_enough.size, np.uint64)
            for distance in (*range(1, feature.adjacent + 1), *range(feature.adjacent + skipped + 1, span + 1)):
                keys = mix_bits(keys ^ word(long_enough, distance).astype(np.uint64))
            found.append(FeatureOccurrences(type_index, keys, long_enough))
    return found


def mix_bits(keys: np.ndarray) -> np.ndarray:
    """Return the splitmix64 hash of 64-bit words (Steele, Lea & Flood 2014), a bijection, uint64 `[n]`."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
