"""Read text files as blocks of lines, about a megabyte at a time: check UTF-8, drop byte order marks."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnlm_jax.data.text_blocks import BLOCK_SIZE, TextBlock, TextBlocks, starts_character
from rnnlm_jax.errors import DataError
from rnnlm_jax.system.input_files import BYTE_ORDER_MARK, FileOpener, as_data_errors, open_input


def read_lines(path: str | Path) -> TextBlocks:
    r"""Read the lines of a UTF-8 text file, plain or gzip, without their newlines.

    Only `\n` and `\r\n` end a line; other separators of `str.splitlines` (form feed, U+2028, ...) are characters of the
    text. A byte order mark at the start is dropped. A pipe is read once.

    Returns:
        An iterator of lines; empty lines are lines.

    Raises:
        DataError: the file is missing, a directory, unreadable or empty (raised at once), or damaged or not UTF-8
            (raised on reaching that part).
    """
    return lines_of_file(open_input(path), path)


def lines_of_file(file: io.BufferedReader, path: str | Path) -> TextBlocks:
    """Return the lines of an open file; `path` is its name in error messages.

    Raises:
        DataError: as `read_lines`.
    """
    return TextBlocks(_blocks(_require_not_empty(file, path), path, TEXT_START))


class TextPosition(NamedTuple):
    """The start of a line in a text of several files."""

    file: int
    """Number of the file, from 0."""
    offset: int
    """Offset in the decompressed file, in bytes."""
    line: int
    """Number of the line in the file, from 1."""


#: Position of the start of a text.
TEXT_START = TextPosition(0, 0, 1)


@dataclass(frozen=True)
class TextFiles:
    """A text of several files in order; the end of a file ends its last line.

    Attributes:
        paths: paths of the files.
        openers: functions that open the files.
    """

    paths: Sequence[Path]
    openers: Sequence[FileOpener]

    def lines(self, start: TextPosition | None = None, stop: TextPosition | None = None) -> TextBlocks:
        """Return the lines from one position to another; `None`: from the start, or to the end.

        Raises:
            DataError: as `read_lines`.
        """
        first = start or TEXT_START
        file = _require_not_empty(self.openers[first.file](), self.paths[first.file])
        return TextBlocks(self._blocks(file, first, stop or TextPosition(len(self.paths), 0, 1)))

    def _blocks(self, file: io.BufferedReader, start: TextPosition, stop: TextPosition) -> Iterator[TextBlock]:
        for number in range(start.file, len(self.paths)):
            limit = stop.offset if number == stop.file else None
            if number > stop.file or limit == 0:
                break
            path = self.paths[number]
            if number > start.file:
                file = _require_not_empty(self.openers[number](), path)
                start = TextPosition(number, 0, 1)
            yield from _blocks(file, path, start, stop=limit)
        file.close()


def _require_not_empty(file: io.BufferedReader, path: str | Path) -> io.BufferedReader:
    with as_data_errors(path):
        beginning = file.peek(4)[:4]
    if beginning in (b"", BYTE_ORDER_MARK):
        file.close()
        raise DataError(f"{path} is empty: give a text with at least one line")
    return file


def _blocks(
    file: io.BufferedReader, path: str | Path, start: TextPosition, *, stop: int | None = None
) -> Iterator[TextBlock]:
    """Yield blocks of an open file from a position up to byte `stop`, and close it; `start` determines the blocks."""
    with file, as_data_errors(path):
        offset, line, pieces = start.offset, start.line, [b""]
        if offset:
            file.seek(offset)
        left = math.inf if stop is None else stop - offset
        while chunk := file.read(int(min(BLOCK_SIZE - len(pieces[-1]), left))):
            left -= len(chunk)
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                pieces += [chunk, b""]
                continue
            block, size = _block(b"".join(pieces) + chunk[:cut], path, offset, line=line)
            yield block
            offset, line, pieces = offset + size, line + block.ends.size, [chunk[cut:]]
        if last := b"".join(pieces):
            yield _block(last + b"\n", path, offset, line=line)[0]


def _block(raw: bytes, path: str | Path, offset: int, *, line: int) -> tuple[TextBlock, int]:
    r"""Return the block of raw lines of a file, each with its `\n`, and their size in bytes."""
    skipped = len(BYTE_ORDER_MARK) if offset == 0 and raw.startswith(BYTE_ORDER_MARK) else 0
    data = raw[skipped:]
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            where = offset + skipped + error.start
            raise DataError(f"{path} is not UTF-8 (at byte {where}): convert it to UTF-8") from None
    if b"\r\n" in data:
        data = data.replace(b"\r\n", b"\n")
    values = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(values == ord("\n"))
    characters = values.size if data.isascii() else int(np.count_nonzero(starts_character(values)))
    return TextBlock(data, ends, characters - ends.size, str(path), line, offset), len(raw)
