"""What the adjustment A(f, w) knows of a pair: hashed conjunctions of counts, in buckets, and of identities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnlm_jax.ngrams.snm.history_features import mix_bits

#: The counts of a signature, each in ``BITS`` bits: the feature's type, C(f), N1+(f ·), C(f, w), N1+(· f w), C(w).
FIELDS = ("type", "total", "followers", "count", "extensions", "word_count")
BITS = 6

#: Conjunctions that name no word: as good as those that do, on held-out text (Chelba & Pereira 2015).
COUNTS_ONLY = (
    ("type", "total", "followers"),
    ("type", "count", "extensions"),
    ("type", "total", "count"),
    ("type", "followers", "count", "extensions"),
    ("type", "count", "word_count"),
)
#: And those that do.
LEXICAL = (*COUNTS_ONLY, ("type", "word"), ("feature",), ("type", "count", "word"))


class Signatures(NamedTuple):
    """All that the adjustment may know of n pairs.

    Attributes:
        fields: int64 ``[n]``, the counts, packed.
        words: ``[n]``, the identity of the target; empty where no meta-feature asks for it.
        features: ``[n]``, the identity of the feature; likewise.
    """

    fields: np.ndarray
    words: np.ndarray
    features: np.ndarray


class MetaFeatures(NamedTuple):
    """Which weights make up A: conjunctions of fields and identities, each hashed into one table of ``2**bits``."""

    conjunctions: tuple[tuple[str, ...], ...]
    bits: int

    @property
    def lexical(self) -> bool:
        """Whether any names a word or a feature."""
        return any(name in ("word", "feature") for names in self.conjunctions for name in names)

    def places(self, signatures: Signatures) -> np.ndarray:
        """The weights of each pair, int32 ``[conjunctions, n]``."""
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
    """Some of the fields, each below 64, in one int64; the others are 0."""
    packed = np.zeros((), np.int64)
    for name, values in fields.items():
        packed = packed | values.astype(np.int64) << _shift(name)
    return packed


def count_bucket(numbers: np.ndarray) -> np.ndarray:
    """0, 1, 2, 3, and from 4 on two buckets for each doubling, ``⌊2 log₂ n⌋`` up to 63: int64."""
    result = _SMALL[np.minimum(numbers, _SMALL.size - 1)]
    large = numbers >= _SMALL.size
    if large.any():
        result[large] = np.minimum(2 * np.log2(numbers[large]), _MASK)
    return result


def _shift(name: str) -> int:
    return BITS * FIELDS.index(name)


_MASK = 2**BITS - 1
_SMALL = np.concatenate([np.arange(4), (2 * np.log2(np.arange(4, 4096))).astype(np.int64)])
