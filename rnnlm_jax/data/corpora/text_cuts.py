"""One text cut into train, valid and test by position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from rnnlm_jax.data.corpora.text_reading import TextFiles, TextPosition
from rnnlm_jax.data.text_blocks import TextBlock
from rnnlm_jax.data.white_space import WHITE_SPACE, strip_space
from rnnlm_jax.errors import DataError

_CUTS = (0.90, 0.95)  # where train and valid end, as fractions of the characters


def cut_in_three(files: TextFiles, name: str) -> dict[str, Callable[[], Iterator[str]]]:
    """Return split -> its lines, cut 90 / 5 / 5 by position in the characters of a text.

    Each cut moves on to the end of its line; in a text of one or two lines, to the end of its word. The text is read
    once, to find the cuts; what is kept of it is three numbers a block.

    Args:
        files: the text.
        name: what errors call it.

    Raises:
        DataError: as `read_lines`, or the text is too short to be cut.
    """
    index = _Index(files)
    lines = index.lines
    if lines < 3:
        return _cut_running_text("\n".join(files.lines()), name)
    first, second = (index.line_at(cut * index.characters) + 1 for cut in _CUTS)
    # every split gets a line, however unequal the lines are
    first = min(first, lines - 2)
    second = min(max(second, first + 1), lines - 1)
    one, two = index.place(first), index.place(second)
    bounds: dict[str, tuple[TextPosition | None, TextPosition | None]]
    bounds = {"train": (None, one), "valid": (one, two), "test": (two, None)}
    return {split: partial(files.lines, *bound) for split, bound in bounds.items()}


class _Index:
    """Where the blocks of a text begin, and how many lines and characters are before the end of each."""

    def __init__(self, files: TextFiles) -> None:
        """Read the text once."""
        self._files = files
        self._places: list[TextPosition] = []
        lines, characters, number = [], [], 0
        for block in files.lines().blocks():
            if self._places and block.offset == 0:
                number += 1
            self._places.append(TextPosition(number, block.offset, block.line))
            lines.append(block.ends.size)
            characters.append(block.characters + block.ends.size)
        self._lines, self._characters = np.cumsum(lines), np.cumsum(characters)
        self.lines, self.characters = int(self._lines[-1]), int(self._characters[-1])

    def line_at(self, position: float) -> int:
        """Return the line, from 0, that has a position among the characters of the text, newlines included."""
        number = int(np.searchsorted(self._characters, position))
        block = self._block(number)
        before = int(self._characters[number]) - block.characters - block.ends.size
        within = int(np.searchsorted(before + block.character_ends + 1, position))
        return int(self._lines[number]) - block.ends.size + within

    def place(self, line: int) -> TextPosition:
        """Return where a line begins."""
        number = int(np.searchsorted(self._lines, line, side="right"))
        block, place = self._block(number), self._places[number]
        within = line - (int(self._lines[number]) - block.ends.size)
        if not within:
            return place
        file = self._files.open_again[place.file]()
        with file:
            file.seek(place.offset)
            sizes = sum(len(file.readline()) for _ in range(within))
        return TextPosition(place.file, place.offset + sizes, place.line + within)

    def _block(self, number: int) -> TextBlock:
        return next(self._files.lines(self._places[number]).blocks())


def _cut_running_text(text: str, name: str) -> dict[str, Callable[[], Iterator[str]]]:
    """Cut a text of one or two lines at the first white space from 90 % and 95 % of its characters."""
    cuts = []
    for cut in _CUTS:
        space = re.compile(f"[{WHITE_SPACE}]").search(text, int(cut * len(text)))
        cuts.append(space.start() if space else int(cut * len(text)))
    first, second = cuts
    # the space at a cut goes to neither side
    parts = {"train": text[:first], "valid": strip_space(text[first:second]), "test": strip_space(text[second:])}
    if not all(strip_space(part) for part in parts.values()):
        raise DataError(f"{name} is too short to be cut in three: give a directory with train.txt, valid.txt, test.txt")
    return {split: partial(_split_newlines, part) for split, part in parts.items()}


def _split_newlines(text: str) -> Iterator[str]:
    return iter(text.split("\n"))
