"""The words of a vocabulary with their counts in the training text, for input and output layers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnlm_jax.errors import ArgumentError, CheckpointError, UserError

_FORMAT = "rnnlm_jax counts 1"
_CHUNK = 2**20  # ids of a text that are counted at once


class WordCounts:
    """The words of a vocabulary by id, and their counts in the training text.

    Hashable and equal by content, so that a layer made from equal words is the same layer.

    Attributes:
        tokens: id -> how the word is written.
        counts: int64 `[V]`, occurrences of each word in the training text.
        digest: sha256 (hexadecimal) of both.

    Raises:
        ArgumentError: if the number of counts differs from that of words, or a count is negative.
    """

    def __init__(self, tokens: Sequence[str], counts: Sequence[int] | np.ndarray):
        """Store read-only copies of both."""
        self.tokens: tuple[str, ...] = tuple(tokens)
        self.counts: np.ndarray = np.array(counts, np.int64)
        if self.counts.shape != (len(self.tokens),) or (self.counts < 0).any():
            raise ArgumentError(f"`counts` must be {len(self.tokens)} numbers, one per word, none of them negative")
        self.counts.setflags(write=False)
        spelled = json.dumps(self.tokens, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        self.digest: str = hashlib.sha256(spelled + self.counts.astype("<i8").tobytes()).hexdigest()

    @classmethod
    def counted(cls, tokens: Sequence[str], text: np.ndarray) -> WordCounts:
        """Return the words with their counts in a text of ids `[N]`."""
        counts = np.zeros(len(tokens), np.int64)
        for start in range(0, text.size, _CHUNK):
            counts += np.bincount(text[start : start + _CHUNK], minlength=len(tokens))
        return cls(tokens, counts)

    @property
    def size(self) -> int:
        """Number of words, V."""
        return len(self.tokens)

    @property
    def by_rank(self) -> np.ndarray:
        """Word ids by falling count, equal counts by id: int64 `[V]`."""
        return np.argsort(-self.counts, kind="stable")

    def to_json(self) -> str:
        """Return the counts, with the digest of words and counts; the vocabulary's own file has the words."""
        return json.dumps({"format": _FORMAT, "sha256": self.digest, "counts": self.counts.tolist()}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, tokens: Sequence[str], name: str = "the counts") -> WordCounts:
        """Return the words with the counts that ``to_json`` wrote.

        Raises:
            CheckpointError: if the text is not in that format, damaged, or of other words.
        """
        damaged = CheckpointError(
            f"{name} is damaged, or the run was trained with another vocabulary: restore it from a copy, or train again"
        )
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise damaged
            found = cls(tokens, content["counts"])
        except (ValueError, TypeError, KeyError, OverflowError, UserError):
            raise damaged from None
        if found.digest != content.get("sha256"):
            raise damaged
        return found

    def __eq__(self, other: object) -> bool:
        """Return whether words and counts are the same."""
        return isinstance(other, WordCounts) and self.digest == other.digest

    def __hash__(self) -> int:
        """Return a hash of the content."""
        return hash(self.digest)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; pickled NumPy arrays lose their read-only flag."""
        self.__dict__.update(state)
        self.counts.setflags(write=False)

    def __repr__(self) -> str:
        """Return size and digest, without the words."""
        return f"WordCounts({self.size:,} types, {self.digest[:12]}…)"
