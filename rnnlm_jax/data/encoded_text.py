"""A text as token ids: the input of training and evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm_jax.errors import DataError


@dataclass(frozen=True, eq=False)
class EncodedText:
    """Token ids of a text, the ends of its lines, and the counts that reports need.

    Attributes:
        tokens: int `[N]`, ids of all lines in order, end-of-line tokens included: int32, or for a text too large for
            memory a read-only memory map, uint16 if the ids fit.
        line_ends: int64 `[L]`, exclusive end offset of each line in `tokens`; the last is `N`.
        oov: number of tokens that were not in the vocabulary and became its unknown token. A literal `<unk>` in the
            text is a word like any other and is not counted.
        characters: Unicode characters of the text as read, plus one newline a line if the vocabulary has an
            end-of-line token: the denominator of bits per character at every level.
        words: white-space-separated words of the text as read, plus one a line if the vocabulary has an end-of-line
            token: the denominator of the perplexity per word at every level; at the word level the number of tokens.
            0 if they were not counted.
        lossy_lines: lines that decoding their subwords does not reproduce exactly, e.g. with a tokenizer that
            lower-cases. 0 at other levels, which lose only white space between words, and unknown tokens.
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
        """The sha256 (hexadecimal) of everything that a model's metrics depend on, see `text_digest`."""
        tokens = hashlib.sha256()
        for part in array_chunks(self.tokens):
            tokens.update(np.ascontiguousarray(part, "<i4").data)
        return text_digest(tokens.hexdigest(), self.line_ends, self.oov, characters=self.characters)

    def require_ids_below(self, size: int) -> None:
        """Check that all ids are below a vocabulary size, as the function `require_ids_below` does for an array.

        Raises:
            DataError: an id is not.
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
    """Yield consecutive views of at most 2^20 entries of an array `[N]`, to bound the memory of temporaries."""
    return (array[start : start + 2**20] for start in range(0, array.size, 2**20))


def text_digest(tokens: str, line_ends: np.ndarray, oov: int, *, characters: int) -> str:
    """Return the digest of an encoded text: texts with equal digests have equal metrics.

    Args:
        tokens: sha256 (hexadecimal) of the ids as little-endian int32.
        line_ends: int64 `[L]`, as in `EncodedText`.
        oov: number of unknown tokens.
        characters: number of characters of the text as read.
    """
    found = hashlib.sha256(f"{tokens} {oov} {characters} ".encode())
    for part in array_chunks(line_ends):
        found.update(np.ascontiguousarray(part, "<i8").data)
    return found.hexdigest()


def require_ids_below(tokens: np.ndarray, size: int) -> None:
    """Check that all ids are below `size`, the number of types; compiled programs would clamp larger ids silently.

    Raises:
        DataError: an id is not.
    """
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < size):
        raise DataError(f"the text has ids beyond the {size:,} types of the model: encode it again")
