"""Meta-features of the adjustment A(f, w): hashed conjunctions of bucketed counts and of identities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnlm_jax.ngrams.snm.history_features import mix_bits

#: Fields of a signature, ``BITS`` bits each: the type, and buckets of C(f), N1+(f ·), C(f, w), N1+(· f w), C(w).
FIELDS = ("type", "total", "followers", "count", "extensions", "word_count")
BITS = 6

#: Conjunctions without words; on held-out text as good as lexical ones (Chelba & Pereira 2015).
COUNTS_ONLY = (
    ("type", "total", "followers"),
    ("type", "count", "extensions"),
    ("type", "total", "count"),
    ("type", "followers", "count", "extensions"),
    ("type", "count", "word_count"),
)
#: Conjunctions with the identity of words and features besides.
LEXICAL = (*COUNTS_ONLY, ("type", "word"), ("feature",), ("type", "count", "word"))


class Signatures(NamedTuple):
    """The inputs of the meta-features of n pairs of feature and word.

    Attributes:
        fields: int64 ``[n]``, packed buckets of counts, see ``FIELDS``.
        words: ``[n]``, id of the word; empty if no meta-feature uses it.
        features: ``[n]``, row of the feature; likewise.
    """

    fields: np.ndarray
    words: np.ndarray
    features: np.ndarray


class MetaFeatures(NamedTuple):
    """Conjunctions of fields and identities, each hashed to one of ``2**bits`` weights; A is their sum."""

    conjunctions: tuple[tuple[str, ...], ...]
    bits: int

    @property
    def lexical(self) -> bool:
        """Whether a conjunction has the identity of a word or feature."""
        return any(name in ("word", "feature") for names in self.conjunctions for name in names)

    def weight_indices(self, signatures: Signatures) -> np.ndarray:
        """Return the index of each conjunction's weight for each pair, int32 ``[conjunctions, n]``."""
        found = np.empty((len(self.conjunctions), signatures.fields.size), np.int32)
        for number, names in enumerate(self.conjunctions):
            mask = sum(_MASK << _shift(name) for name in names if name in FIELDS)
            keys = (signatures.fields & mask).astype(np.uint64) ^ mix_bits(np.full(1, number, np.uint64))
            for name, identities in (("word", signatures.words), ("feature", signatures.features)):
                if name in names:
                    keys = mix_bits(keys) ^ identities.astype(np.uint64)
            found[number] = mix_bits(keys) >> np.uint64(64 - self.bits)
        return found


def pack_fields(**fields: np.ndarray) -> np.ndarray:
    """Pack some of the fields, values below 64, into one int64; the other fields are 0."""
    packed = np.zeros((), np.int64)
    for name, values in fields.items():
        packed = packed | values.astype(np.int64) << _shift(name)
    return packed


def count_bucket(numbers: np.ndarray) -> np.ndarray:
    """Return the bucket of each count: 0 to 3 as they are, then ``⌊2 log₂ n⌋`` up to 63, int64."""
    result = _SMALL[np.minimum(numbers, _SMALL.size - 1)]
    large = numbers >= _SMALL.size
    if large.any():
        result[large] = np.minimum(2 * np.log2(numbers[large]), _MASK)
    return result


def _shift(name: str) -> int:
    return BITS * FIELDS.index(name)


_MASK = 2**BITS - 1
_SMALL = np.concatenate([np.arange(4), (2 * np.log2(np.arange(4, 4096))).astype(np.int64)])
