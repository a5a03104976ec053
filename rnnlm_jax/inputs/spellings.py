"""Spellings of the tokens of a vocabulary, as a table of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnlm_jax.errors import ArgumentError

#: Marks before the first byte of a word and after its last, and padding: no UTF-8 text contains these bytes.
BEGIN, END, PAD = 0xFD, 0xFE, 0xFF
#: Number of symbols: every byte.
ALPHABET = 256


class Spellings:
    """The UTF-8 bytes of each token between ``BEGIN`` and ``END``, padded to the longest; hashable, equal by content.

    A token of more than ``max_length - 2`` bytes is cut before ``END``: tokens that differ only beyond have the same
    spelling.

    Attributes:
        table: uint8 `[V, L]`, L at most ``max_length``.
        lengths: int32 `[V]`, symbols of each token, the two marks included.
        digest: sha256 (hexadecimal) of the table.

    Raises:
        ArgumentError: if ``tokens`` is empty, or ``max_length`` leaves no room for a character.
    """

    def __init__(self, tokens: Sequence[str], max_length: int = 50):
        """Spell every token."""
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 3:
            raise ArgumentError(f"`max_length` must be at least 3, a character between two marks, not {max_length!r}")
        if not tokens:
            raise ArgumentError("`tokens` is empty: give the tokens of the vocabulary")
        words = [token.encode("utf-8", "surrogatepass")[: max_length - 2] for token in tokens]
        self.lengths: np.ndarray = np.array([len(word) + 2 for word in words], np.int32)
        self.table: np.ndarray = np.full((len(words), int(self.lengths.max())), PAD, np.uint8)
        for row, word in zip(self.table, words, strict=True):
            row[: len(word) + 2] = np.frombuffer(bytes([BEGIN]) + word + bytes([END]), np.uint8)
        self.table.setflags(write=False)
        self.lengths.setflags(write=False)
        self.digest: str = hashlib.sha256(repr(self.table.shape).encode() + self.table.tobytes()).hexdigest()

    @property
    def size(self) -> int:
        """Number of tokens, V."""
        return len(self.table)

    def __eq__(self, other: object) -> bool:
        """Return whether all spellings are the same."""
        return isinstance(other, Spellings) and self.digest == other.digest

    def __hash__(self) -> int:
        """Return a hash of the content."""
        return hash(self.digest)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; pickled NumPy arrays lose their read-only flag."""
        self.__dict__.update(state)
        self.table.setflags(write=False)
        self.lengths.setflags(write=False)

    def __repr__(self) -> str:
        """Return size and digest."""
        return f"Spellings({self.size:,} tokens, {self.digest[:12]}…)"
