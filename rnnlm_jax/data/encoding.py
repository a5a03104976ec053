"""Blocks of text to token ids and counts: the one place where text is cut into tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnnlm_jax.data.text_blocks import TextBlock, starts_character
from rnnlm_jax.data.word_table import PADDING, WordTable, word_bounds

_PIECE_BYTES = 2**18  # bytes of a block that are looked up together: what is made of them stays in a processor's cache
_CUTS = (b" ", b"\n")


class WordSpans(NamedTuple):
    """The words of a part of a block; `starts` and `stops` are places in `buffer`, which begins at `first`."""

    buffer: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    first: int


class BlockIds(NamedTuple):
    """A block as ids, -1 where unknown, without ends of lines."""

    ids: np.ndarray  # int32 [n]
    line_ends: np.ndarray  # int64 [L], the exclusive end of each line in them


def word_spans(block: TextBlock) -> Iterator[WordSpans]:
    """Yield the words of a block part by part, each cut at a space or newline."""
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
        table: code point -> id, -1 where there is none, and as its last entry for all beyond.
    """
    found = table[np.minimum(code_points(block), table.size - 1)]
    return _without_newlines(found, block.character_ends)


def byte_ids(block: TextBlock) -> BlockIds:
    """Return the bytes of a block as ids."""
    return _without_newlines(np.frombuffer(block.data, np.uint8).astype(np.int32), block.ends)


def token_at(block: TextBlock, number: int, level: str) -> tuple[str, int]:
    """Return a word or character of a block, given by number without newlines after lines, and its place in `data`."""
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
    """Return ids with one more, `eos`, at the end of each line."""
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
