"""A text as token ids: what every model of this library is trained and measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm_jax.errors import DataError


@dataclass(frozen=True, eq=False)
class EncodedText:
    """The tokens of a text in order, where its lines end, and the counts that a report needs.

    Attributes:
        tokens: int `[N]`, the ids of all lines one after the other, end-of-line tokens included. int32; of a text that
            is too large for memory a read-only map of a file, uint16 where the ids fit.
        line_ends: int64 `[L]`, the exclusive end offset of each line in `tokens`; the last one is `N`.
        oov: how many tokens were not in the vocabulary and became its unknown token. A literal `<unk>` that stands in
            the text is a word like any other and is not counted.
        characters: Unicode characters of the text as it was read, plus one newline a line when the vocabulary ends
            lines: the denominator of bits per character at any level.
        words: white-space-separated words of the text as it was read, plus one a line when the vocabulary ends lines:
            the denominator of a perplexity a word at any level, and at the word level the number of tokens. 0 where
            nobody has counted them.
        lossy_lines: lines that their subwords do not give back to the last character, as with a tokenizer that makes
            all letters small. 0 at other levels, where only white space between words is lost, and what is unknown.
    """

    tokens: np.ndarray
    line_ends: np.ndarray
    oov: int
    characters: int
    words: int = 0
    lossy_lines: int = 0

    def __len__(self) -> int:
        """Return the number of tokens."""
        return int(self.tokens.size)

    @cached_property
    def digest(self) -> str:
        """The sha256 (hexadecimal) of all that a model and its figures see of the text, see `text_digest`."""
        tokens = hashlib.sha256()
        for part in array_chunks(self.tokens):
            tokens.update(np.ascontiguousarray(part, "<i4").data)
        return text_digest(tokens.hexdigest(), self.line_ends, self.oov, self.characters)

    def require_ids_below(self, size: int) -> None:
        """Check that a vocabulary of ``size`` types has all tokens, as `require_ids_below` does for an array.

        Raises:
            DataError: if one is not among them.
        """
        require_ids_below(self.tokens, size)

    def lines(self) -> Iterator[np.ndarray]:
        """Yield the tokens of each line, a view `[n]`, with its end-of-line token where there is one."""
        start = 0
        for ends in array_chunks(self.line_ends):
            for end in ends.tolist():
                yield self.tokens[start:end]
                start = end


def array_chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array `[N]` in views of at most 2^20 entries, so that what is made of them stays small."""
    return (array[start : start + 2**20] for start in range(0, array.size, 2**20))


def text_digest(tokens: str, line_ends: np.ndarray, oov: int, characters: int) -> str:
    """Return the digest of an encoded text: equal where every figure of a model on it is.

    Args:
        tokens: the sha256 (hexadecimal) of the ids as little-endian int32, which may have been read part by part.
        line_ends: int64 `[L]`, see `EncodedText`.
        oov: unknown tokens.
        characters: of the text as it was read.
    """
    found = hashlib.sha256(f"{tokens} {oov} {characters} ".encode())
    for part in array_chunks(line_ends):
        found.update(np.ascontiguousarray(part, "<i8").data)
    return found.hexdigest()


def require_ids_below(tokens: np.ndarray, size: int) -> None:
    """Check that a vocabulary of ``size`` types has all tokens: compiled programs would take others for the last.

    Raises:
        DataError: if one is not among them.
    """
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < size):
        raise DataError(f"the text has ids beyond the {size:,} types of the model: encode it anew")
