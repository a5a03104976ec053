"""Split blocks of text into words, characters or bytes, and look up their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnnlm_jax.data.text_blocks import TextBlock, starts_character
from rnnlm_jax.data.word_table import PADDING, WordTable, word_bounds

_PIECE_BYTES = 2**18  # bytes of a block looked up together, so that temporaries fit in the processor's cache
_CUTS = (b" ", b"\n")


class WordSpans(NamedTuple):
    """Words of a part of a block: `starts` and `stops` are offsets in `buffer`, which begins at offset `first`."""

    buffer: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    first: int


class BlockIds(NamedTuple):
    """Token ids of a block, -1 where unknown, without end-of-line tokens."""

    ids: np.ndarray  # int32 [n]
    line_ends: np.ndarray  # int64 [L], exclusive end of each line in `ids`


def word_spans(block: TextBlock) -> Iterator[WordSpans]:
    """Yield the words of a block in parts, which are cut at a space or newline."""
    data = np.frombuffer(block.data + bytes(PADDING), np.uint8)
    first, size = 0, len(block.data)
    while first < size:
        last = first + _PIECE_BYTES
        if last < size:
            before = max(block.data.rfind(space, first + 1, last) for space in _CUTS)
            last = before if before > 0 else min(_find(block.data, space, last) for space in _CUTS)
        last = min(last, size)
        starts, stops = word_bounds(data[first:last])
        yield WordSpans(data[first : last + PADDING], starts, stops, first)
        first = last


def _find(data: bytes, space: bytes, start: int) -> int:
    found = data.find(space, start)
    return len(data) if found < 0 else found


def word_ids(block: TextBlock, table: WordTable) -> BlockIds:
    """Return the ids of the words of a block."""
    ids, starts = [], []
    for words in word_spans(block):
        ids.append(table.find(words.buffer, words.starts, words.stops))
        starts.append(words.starts + words.first)
    return BlockIds(_joined(ids, np.int32), np.searchsorted(_joined(starts, np.int64), block.ends))


def count_words(block: TextBlock) -> int:
    """Return the number of words in a block."""
    return sum(words.starts.size for words in word_spans(block))


def code_points(block: TextBlock) -> np.ndarray:
    """Return the characters of a block, newlines after lines included, as uint32 `[n]`."""
    text = block.data.decode("utf-8", "surrogatepass")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def character_ids(block: TextBlock, table: np.ndarray) -> BlockIds:
    """Return the ids of the characters of a block.

    Args:
        block: the text.
        table: int32, code point -> id, -1 if unknown; the last entry, -1, stands for all code points beyond.
    """
    found = table[np.minimum(code_points(block), table.size - 1)]
    return _without_newlines(found, block.character_ends)


def byte_ids(block: TextBlock) -> BlockIds:
    """Return the bytes of a block as ids."""
    return _without_newlines(np.frombuffer(block.data, np.uint8).astype(np.int32), block.ends)


def token_at(block: TextBlock, number: int, level: str) -> tuple[str, int]:
    """Return word or character `number` of a block, newlines not counted, and its byte offset in `data`."""
    if level == "word":
        for words in word_spans(block):
            if number < words.starts.size:
                start, stop = (words.first + int(bound[number]) for bound in (words.starts, words.stops))
                return block.data[start:stop].decode("utf-8", "surrogatepass"), start
            number -= words.starts.size
    points = code_points(block)
    at = int(np.delete(np.arange(points.size), block.character_ends)[number])
    return chr(points[at]), int(np.flatnonzero(starts_character(np.frombuffer(block.data, np.uint8)))[at])


def append_eos(found: BlockIds, eos: int) -> BlockIds:
    """Return the ids with `eos` appended to each line."""
    at = found.line_ends + np.arange(found.line_ends.size)
    ids = np.full(found.ids.size + at.size, eos, np.int32)
    other = np.ones(ids.size, bool)
    other[at] = False
    ids[other] = found.ids
    return BlockIds(ids, at + 1)


def _without_newlines(ids: np.ndarray, ends: np.ndarray) -> BlockIds:
    return BlockIds(np.delete(ids, ends), ends - np.arange(ends.size))


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
