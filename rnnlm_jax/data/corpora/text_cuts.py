"""Splitting one text into train, valid and test by position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from rnnlm_jax.data.corpora.corpus import LineSource
from rnnlm_jax.data.corpora.text_reading import TextFiles, TextPosition
from rnnlm_jax.data.text_blocks import TextBlock
from rnnlm_jax.data.white_space import WHITE_SPACE, strip_space
from rnnlm_jax.errors import DataError

_CUTS = (0.90, 0.95)  # ends of train and valid, as fractions of the characters


def cut_in_three(files: TextFiles, name: str) -> dict[str, LineSource]:
    """Return the lines of each split of a text, cut 90 / 5 / 5 by position in its characters.

    Each cut is moved to the end of its line; in a text of one or two lines, to the end of its word. The text is read
    once to find the cuts; memory for it is a few numbers a block.

    Args:
        files: the text.
        name: name of the text in error messages.

    Raises:
        DataError: as `read_lines`, or the text is too short.
    """
    index = _Index(files)
    lines = index.lines
    if lines < 3:
        return _cut_running_text("\n".join(files.lines()), name)
    first, second = (index.line_at(cut * index.characters) + 1 for cut in _CUTS)
    # Every split gets at least one line.
    first = min(first, lines - 2)
    second = min(max(second, first + 1), lines - 1)
    one, two = index.position(first), index.position(second)
    bounds: dict[str, tuple[TextPosition | None, TextPosition | None]]
    bounds = {"train": (None, one), "valid": (one, two), "test": (two, None)}
    return {split: partial(files.lines, *bound) for split, bound in bounds.items()}


class _Index:
    """Position of each block of a text, and the number of lines and characters up to its end."""

    def __init__(self, files: TextFiles) -> None:
        """Read the text once."""
        self._files = files
        self._positions: list[TextPosition] = []
        lines, characters, number = [], [], 0
        for block in files.lines().blocks():
            if self._positions and block.offset == 0:
                number += 1
            self._positions.append(TextPosition(number, block.offset, block.line))
            lines.append(block.ends.size)
            characters.append(block.characters + block.ends.size)
        self._lines, self._characters = np.cumsum(lines), np.cumsum(characters)
        self.lines, self.characters = int(self._lines[-1]), int(self._characters[-1])

    def line_at(self, characters: float) -> int:
        """Return the number, from 0, of the line at a character position of the text, newlines included."""
        number = int(np.searchsorted(self._characters, characters))
        block = self._block(number)
        before = int(self._characters[number]) - block.characters - block.ends.size
        within = int(np.searchsorted(before + block.character_ends + 1, characters))
        return int(self._lines[number]) - block.ends.size + within

    def position(self, line: int) -> TextPosition:
        """Return the position of the start of a line."""
        number = int(np.searchsorted(self._lines, line, side="right"))
        block, position = self._block(number), self._positions[number]
        within = line - (int(self._lines[number]) - block.ends.size)
        if not within:
            return position
        file = self._files.openers[position.file]()
        with file:
            file.seek(position.offset)
            sizes = sum(len(file.readline()) for _ in range(within))
        return TextPosition(position.file, position.offset + sizes, position.line + within)

    def _block(self, number: int) -> TextBlock:
        return next(self._files.lines(self._positions[number]).blocks())


def _cut_running_text(text: str, name: str) -> dict[str, LineSource]:
    """Split a text of one or two lines at the first white space from 90 % and 95 % of its characters on."""
    cuts = []
    for cut in _CUTS:
        space = re.compile(f"[{WHITE_SPACE}]").search(text, int(cut * len(text)))
        cuts.append(space.start() if space else int(cut * len(text)))
    first, second = cuts
    # The space at a cut belongs to neither side.
    parts = {"train": text[:first], "valid": strip_space(text[first:second]), "test": strip_space(text[second:])}
    if not all(strip_space(part) for part in parts.values()):
        raise DataError(f"{name} is too short to be split: give a directory with train.txt, valid.txt and test.txt")
    return {split: partial(_split_newlines, part) for split, part in parts.items()}


def _split_newlines(text: str) -> Iterator[str]:
    return iter(text.split("\n"))
