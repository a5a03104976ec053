"""Text files as corpora: a directory with a file a split, or one file cut by position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.errors import UserError

SPLIT_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
"""What a split may be called in a file name or data set, and what it is called here."""

_SUFFIXES = {".txt", ".tokens"}
_CUTS = (0.90, 0.95)  # where train and valid end in a single file, as fractions of its characters
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Read the lines of a UTF-8 text file, one at a time, without their newlines.

    Only `\n` and `\r\n` end a line: the other separators that `str.splitlines` knows (form feed, U+2028, ...) are
    characters of the text. A byte order mark at the start is dropped.

    Returns:
        An iterator of lines; empty lines are lines.

    Raises:
        UserError: the file is missing, a directory, unreadable or empty (all at once), or not UTF-8 (on reaching it).
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(4) in (b"", _BYTE_ORDER_MARK):
                raise UserError(f"{path} is empty: give a text with at least one line")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a directory: give the path of a text file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None
    return _decoded_lines(path)


def _decoded_lines(path: Path) -> Iterator[str]:
    offset = 0
    with path.open("rb") as file:  # a binary file splits at \n alone
        for raw in file:
            content = raw.removesuffix(b"\n").removesuffix(b"\r")
            skipped = len(_BYTE_ORDER_MARK) if offset == 0 and content.startswith(_BYTE_ORDER_MARK) else 0
            try:
                yield content[skipped:].decode("utf-8")
            except UnicodeDecodeError as error:
                where = offset + skipped + error.start
                raise UserError(f"{path} is not UTF-8 (at byte {where}): convert it to UTF-8") from None
            offset += len(raw)


def path_corpus(path: str | Path) -> Corpus:
    """Return the corpus of a directory with a text file a split, or of one text file.

    In a directory the split is read off the file name: `train.txt`, `ptb.train.txt`, `wiki.train.tokens`; `valid` may
    be called `validation` or `dev`. A single file is cut 90 / 5 / 5 by position in its characters, each cut moved on to
    the end of its line; a file of one or two lines, at the end of its word.

    Raises:
        UserError: there is no such file, no file of a split in the directory, two for one split, or a text too short
            to be cut.
    """
    path = Path(path)
    if path.is_dir():
        return Corpus(str(path), "word", {split: partial(read_lines, file) for split, file in _split_files(path)})
    lengths = np.fromiter((len(line) + 1 for line in read_lines(path)), dtype=np.int64)
    if lengths.size < 3:
        return Corpus(str(path), "word", _cut_running_text(path))
    ends = np.cumsum(lengths)
    first, second = (int(np.searchsorted(ends, cut * ends[-1])) + 1 for cut in _CUTS)
    # every split gets a line, however unequal the lines are
    first = min(first, lengths.size - 2)
    second = min(max(second, first + 1), lengths.size - 1)
    bounds = {"train": (0, first), "valid": (first, second), "test": (second, int(lengths.size))}
    return Corpus(str(path), "word", {split: partial(_lines_between, path, *bound) for split, bound in bounds.items()})


def _lines_between(path: Path, start: int, stop: int) -> Iterator[str]:
    return islice(read_lines(path), start, stop)


def _split_files(directory: Path) -> list[tuple[str, Path]]:
    """Return the split and path of each text file that is named after a split, train first."""
    found: dict[str, Path] = {}
    for file in sorted(directory.iterdir()):
        if not file.is_file() or file.suffix not in _SUFFIXES:
            continue
        for part in re.split(r"[._-]", file.stem.lower()):
            split = SPLIT_NAMES.get(part)
            if split is None:
                continue
            if found.setdefault(split, file) != file:
                names = f"{found[split].name} and {file.name}"
                raise UserError(f"{directory} has two {split} files, {names}: keep one of them there")
    if "train" not in found and "test" not in found:
        raise UserError(f"{directory} has no splits: put train.txt, valid.txt and test.txt there")
    return [(split, found[split]) for split in ("train", "valid", "test") if split in found]


def _cut_running_text(path: Path) -> dict[str, partial[Iterator[str]]]:
    """Cut a text of one or two lines at the first spaces (any whitespace) from 90 % and 95 % of its characters."""
    text = "\n".join(read_lines(path))
    cuts = []
    for cut in _CUTS:
        space = re.compile(r"\s").search(text, int(cut * len(text)))
        cuts.append(space.start() if space else int(cut * len(text)))
    first, second = cuts
    # the space at a cut goes to neither side
    parts = {"train": text[:first], "valid": text[first:second].strip(), "test": text[second:].strip()}
    if not all(part.strip() for part in parts.values()):
        raise UserError(f"{path} is too short to be cut in three: give a directory with train.txt, valid.txt, test.txt")
    return {split: partial(_split_newlines, part) for split, part in parts.items()}


def _split_newlines(text: str) -> Iterator[str]:
    return iter(text.split("\n"))
