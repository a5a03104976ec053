"""Text as blocks of whole lines in UTF-8, about a megabyte each; vocabularies count and encode block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

BLOCK_SIZE = 2**20
"""Approximate size of a block in bytes; a longer line is a block by itself."""


class TextBlock(NamedTuple):
    """Consecutive lines of a text.

    Attributes:
        data: UTF-8, the content of each line followed by one newline that is not part of it.
        ends: int64 `[L]`, offset in `data` of the end of each line's content; newlines elsewhere are part of lines.
        characters: number of characters of all lines, without the newlines after them.
        name: path of the file, or empty.
        line: number of the first line in the file or text, from 1; 0 if the block is not part of a text.
        offset: offset of the block in the file, in bytes.
    """

    data: bytes
    ends: np.ndarray
    characters: int
    name: str = ""
    line: int = 1
    offset: int = 0

    def lines(self) -> list[str]:
        """Return the lines."""
        if self.data.count(b"\n") == self.ends.size:
            return self.data.decode("utf-8", "surrogatepass").split("\n")[:-1]
        starts = np.concatenate([[0], self.ends[:-1] + 1]).tolist()
        pairs = zip(starts, self.ends.tolist(), strict=True)
        return [self.data[start:end].decode("utf-8", "surrogatepass") for start, end in pairs]

    def describe_position(self, offset: int) -> str:
        """Return the position of a byte of `data` in the text, for messages: `line 3 of text.txt`."""
        number = self.line + int(np.searchsorted(self.ends, offset))
        return f"line {number} of {self.name}" if self.name else f"line {number}"

    @property
    def character_ends(self) -> np.ndarray:
        """End of each line's content in the decoded `data`, in characters, int64 `[L]`."""
        if self.data.isascii():
            return self.ends
        return np.cumsum(starts_character(np.frombuffer(self.data, np.uint8)))[self.ends] - 1


class TextBlocks(Iterator[str]):
    """An iterator of the lines of a text that can also be consumed by blocks, which is many times faster."""

    def __init__(self, blocks: Iterable[TextBlock]) -> None:
        """Keep the blocks; they are read lazily."""
        self._blocks = iter(blocks)
        self._lines = (line for block in self._blocks for line in block.lines())
        self._begun = False

    def __next__(self) -> str:
        """Return the next line."""
        self._begun = True
        return next(self._lines)

    def blocks(self) -> Iterator[TextBlock]:
        """Return the blocks of the remaining lines."""
        return group_lines(self._lines) if self._begun else self._blocks


def blocks_of(lines: Iterable[str], errors: str = "surrogatepass") -> Iterator[TextBlock]:
    """Return the blocks of a text.

    Args:
        lines: lines without their newlines.
        errors: error handler for surrogates, see `codecs`.

    Raises:
        UnicodeEncodeError: a line, its `object`, has a character that `errors` does not encode.
    """
    return lines.blocks() if isinstance(lines, TextBlocks) else group_lines(lines, errors)


def group_lines(lines: Iterable[str], errors: str = "surrogatepass") -> Iterator[TextBlock]:
    """Group lines into blocks, with the arguments of `blocks_of`."""
    part: list[str] = []
    characters, number = 0, 1
    for line in lines:
        part.append(line)
        characters += len(line)
        if characters + len(part) >= BLOCK_SIZE:
            yield _block(part, characters, number, errors)
            number += len(part)
            part, characters = [], 0
    if part:
        yield _block(part, characters, number, errors)


def _block(lines: list[str], characters: int, number: int, errors: str) -> TextBlock:
    try:
        data = ("\n".join(lines) + "\n").encode("utf-8", errors)
    except UnicodeEncodeError:
        for line in lines:
            line.encode("utf-8", errors)  # raises for the line at fault
        raise
    # A character takes at least one byte, so equal lengths mean one byte each.
    single = len(data) == characters + len(lines)
    sizes = map(len, lines) if single else (len(line.encode("utf-8", errors)) for line in lines)
    ends = np.cumsum(np.fromiter(sizes, np.int64, len(lines)) + 1) - 1
    return TextBlock(data, ends, characters, line=number)


def starts_character(data: np.ndarray) -> np.ndarray:
    """Return a mask of the bytes of UTF-8 that begin a character, bool of the shape of `data`."""
    return (data & 0xC0) != 0x80
