"""Features of a history: n-grams and skip-grams, as 64-bit keys made from the text all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import DataError


@dataclass(frozen=True)
class FeatureType:
    """A kind of feature: which words of the history it looks at (Shazeer et al. 2015, section 3).

    ``remote`` words, then some skipped, then the ``adjacent`` words before the target. Without remote words it is the
    context of an n-gram of order ``adjacent + 1``. Distances from ``nearest`` to ``farthest`` skipped words are tied:
    they make the same feature, and a history may hold it more than once.
    """

    adjacent: int
    remote: int = 0
    nearest: int = 0
    farthest: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no feature."""
        if self.adjacent < 0 or self.remote < 0:
            raise DataError(f"a feature has no negative number of words: {self}")
        if self.remote and not 1 <= self.nearest <= self.farthest:
            raise DataError(f"a skip-gram skips at least one word, and no more than its farthest: {self}")
        if not self.remote and (self.nearest or self.farthest):
            raise DataError(f"a feature without remote words skips none: {self}")

    @property
    def name(self) -> str:
        """``3-gram``, or ``remote/skipped/adjacent`` as ``1/2..5/1``."""
        if not self.remote:
            return f"{self.adjacent + 1}-gram"
        skipped = str(self.nearest) if self.nearest == self.farthest else f"{self.nearest}..{self.farthest}"
        return f"{self.remote}/{skipped}/{self.adjacent}"


def ngram_types(order: int) -> tuple[FeatureType, ...]:
    """The contexts of n-grams of orders 1 (the empty one) to ``order``.

    Raises:
        DataError: if the order is not positive.
    """
    if order < 1:
        raise DataError(f"the order of an n-gram model must be at least 1, not {order}")
    return tuple(FeatureType(adjacent) for adjacent in range(order))


#: Skipped words, tied from the first to the second of each pair, by the number of words that a feature looks at.
_SKIPS = {1: ((1, 1), (2, 2), (3, 10)), 2: ((1, 1), (2, 4)), 3: ((1, 1), (2, 3))}


def skip_types(order: int) -> tuple[FeatureType, ...]:
    """Skip-grams beside n-grams up to ``order``: of up to three words and no more than its contexts have.

    The more words, the shorter the distances: features of many words at many distances are seldom met again.

    Raises:
        DataError: if the order is below 2: features of no word skip none.
    """
    if order < 2:
        raise DataError(f"skip-grams look at a word at least: give an order of 2 or more, not {order}")
    return tuple(
        FeatureType(adjacent, words - adjacent, nearest, farthest)
        for words in range(1, min(order, 4))
        for adjacent in range(words)
        for nearest, farthest in _SKIPS[words]
    )


@dataclass(frozen=True, eq=False)
class FeatureOccurrences:
    """Which histories have features of one type at one distance.

    Attributes:
        kind: which of the types.
        keys: uint64 `[n]`, one feature each.
        places: int64 `[n]`, the histories: places of the tokens that they predict.
    """

    kind: int
    keys: np.ndarray
    places: np.ndarray


def longest_history(types: tuple[FeatureType, ...]) -> int:
    """How many words back the features look."""
    return max(feature.remote + feature.farthest + feature.adjacent for feature in types)


def text_features(
    tokens: np.ndarray, vocabulary: Vocabulary, types: tuple[FeatureType, ...], begin: int = 0, end: int | None = None
) -> list[FeatureOccurrences]:
    """Every feature of the histories of the tokens from ``begin`` to ``end``, type by type, nearest distance first.

    The word before the first one of a sentence is its start, ``vocabulary.size``.
    """
    end = tokens.size if end is None else end
    # What is further back is not looked at, and does not look like the start of a sentence there.
    first = max(begin - longest_history(types), 0)
    lengths = history_lengths(tokens[first:end], vocabulary.eos_id)

    def word(places: np.ndarray, distance: int) -> np.ndarray:
        return np.where(lengths[places - first] == distance, vocabulary.size, tokens[places - distance])

    return _feature_occurrences(np.arange(begin, end), lengths[begin - first :], word, types)


def state_features(words: np.ndarray, lengths: np.ndarray, types: tuple[FeatureType, ...]) -> list[FeatureOccurrences]:
    """Every feature of histories ``[R, C]``, the nearest word first, of ``lengths`` words ``[R]``, starts included."""
    return _feature_occurrences(
        np.arange(lengths.size), lengths, lambda places, distance: words[places, distance - 1], types
    )


def history_lengths(tokens: np.ndarray, eos_id: int | None) -> np.ndarray:
    """How many words stand before each token, the sentence's start counted: int64 `[N]`, at least 1.

    A sentence begins after an end-of-line token; a text without such tokens is one sentence.
    """
    places = np.arange(tokens.size)
    if eos_id is None:
        return places + 1
    first = np.zeros(tokens.size, np.int64)
    first[1:] = np.where(tokens[:-1] == eos_id, places[1:], 0)
    return places - np.maximum.accumulate(first) + 1


def _feature_occurrences(
    places: np.ndarray,
    lengths: np.ndarray,
    word: Callable[[np.ndarray, int], np.ndarray],
    types: tuple[FeatureType, ...],
) -> list[FeatureOccurrences]:
    """The slots of some histories, whose words at a distance ``word`` tells.

    A key is a hash of the words to 64 bits, mixed after every word. Two features of one type with one key would be one
    feature of the model, which still sums to 1; among ten million that happens in one of 400,000 corpora.
    """
    found = []
    for kind, feature in enumerate(types):
        for skipped in range(feature.nearest, feature.farthest + 1):
            span = feature.remote + skipped + feature.adjacent
            long_enough = places[lengths >= span]
            keys = np.zeros(long_enough.size, np.uint64)
            for distance in (*range(1, feature.adjacent + 1), *range(feature.adjacent + skipped + 1, span + 1)):
                keys = mix_bits(keys ^ word(long_enough, distance).astype(np.uint64))
            found.append(FeatureOccurrences(kind, keys, long_enough))
    return found


def mix_bits(keys: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words that scatters their bits (splitmix64: Steele, Lea & Flood 2014), uint64 `[n]`."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
