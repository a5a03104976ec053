"""Text files as corpora: a directory with a file a split, or one file cut by position."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.white_space import WHITE_SPACE, strip_space
from rnnlm_jax.errors import UserError
from rnnlm_jax.input_files import BYTE_ORDER_MARK, input_lines, open_input, reopened, told_errors

SPLIT_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
"""What a split may be called in a file name or data set, and what it is called here."""

_SUFFIXES = (".txt", ".tokens", ".raw")
_COMPRESSED = ".gz"
_CUTS = (0.90, 0.95)  # where train and valid end in a single file, as fractions of its characters


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Read the lines of a UTF-8 text file, plain or gzip, one at a time, without their newlines.

    Only `\n` and `\r\n` end a line: the other separators that `str.splitlines` knows (form feed, U+2028, ...) are
    characters of the text. A byte order mark at the start is dropped. A pipe is read once.

    Returns:
        An iterator of lines; empty lines are lines.

    Raises:
        UserError: the file is missing, a directory, unreadable or empty (all at once), or damaged or not UTF-8 (on
            reaching it).
    """
    return lines_of(open_input(path), path)


def lines_of(file: io.BufferedReader, path: str | Path) -> Iterator[str]:
    """Return the lines of an open file; `path` is its name.

    Raises:
        UserError: as `read_lines`.
    """
    with told_errors(path):
        beginning = file.peek(4)[:4]
    if beginning in (b"", BYTE_ORDER_MARK):
        file.close()
        raise UserError(f"{path} is empty: give a text with at least one line")
    return _decoded_lines(input_lines(file, path), path)


def _decoded_lines(lines: Iterator[bytes], path: str | Path) -> Iterator[str]:
    offset = 0
    for raw in lines:
        content = raw.removesuffix(b"\n").removesuffix(b"\r")
        skipped = len(BYTE_ORDER_MARK) if offset == 0 and content.startswith(BYTE_ORDER_MARK) else 0
        try:
            yield content[skipped:].decode("utf-8")
        except UnicodeDecodeError as error:
            where = offset + skipped + error.start
            raise UserError(f"{path} is not UTF-8 (at byte {where}): convert it to UTF-8") from None
        offset += len(raw)


def path_corpus(path: str | Path) -> Corpus:
    """Return the corpus of a directory with a text file a split, or of one text file; each may be plain or gzip.

    In a directory the split is read off the file name: `train.txt`, `ptb.train.txt`, `wiki.train.tokens`,
    `wiki.train.raw`, in capitals or not; `valid` may be called `validation` or `dev`. Hidden files are not read. A
    single file is cut 90 / 5 / 5 by position in its characters, each cut moved on to the end of its line; a file of one
    or two lines, at the end of its word.

    Raises:
        UserError: there is no such file, no file of a split in the directory, two for one split, one for two, or a text
            too short to be cut.
    """
    path = Path(path)
    if path.is_dir():
        found = {split: partial(_again, reopened(file), file) for split, file in _split_files(path)}
        return Corpus(str(path), "word", found)
    read = partial(_again, reopened(path), path)
    lengths = np.fromiter((len(line) + 1 for line in read()), dtype=np.int64)
    if lengths.size < 3:
        return Corpus(str(path), "word", _cut_running_text("\n".join(read()), path))
    ends = np.cumsum(lengths)
    first, second = (int(np.searchsorted(ends, cut * ends[-1])) + 1 for cut in _CUTS)
    # every split gets a line, however unequal the lines are
    first = min(first, lengths.size - 2)
    second = min(max(second, first + 1), lengths.size - 1)
    bounds = {"train": (0, first), "valid": (first, second), "test": (second, int(lengths.size))}
    return Corpus(str(path), "word", {split: partial(_lines_between, read, *bound) for split, bound in bounds.items()})


def _again(open_again: Callable[[], io.BufferedReader], path: Path) -> Iterator[str]:
    return lines_of(open_again(), path)


def _lines_between(read: Callable[[], Iterator[str]], start: int, stop: int) -> Iterator[str]:
    return islice(read(), start, stop)


def _split_files(directory: Path) -> list[tuple[str, Path]]:
    """Return the split and path of each text file that is named after a split, train first."""
    found: dict[str, Path] = {}
    for file in sorted(directory.iterdir()):
        split = _split_of(file)
        if split is not None and found.setdefault(split, file) != file:
            names = f"{found[split].name} and {file.name}"
            raise UserError(f"{directory} has two {split} files, {names}: keep one of them there")
    if "train" not in found and "test" not in found:
        raise UserError(f"{directory} has no splits: put train.txt, valid.txt and test.txt there")
    return [(split, found[split]) for split in ("train", "valid", "test") if split in found]


def _split_of(file: Path) -> str | None:
    """Return the split that a text file is named after; None for other files.

    Raises:
        UserError: it is named after two.
    """
    name = Path(file.name.lower().removesuffix(_COMPRESSED))
    if name.name.startswith(".") or name.suffix not in _SUFFIXES or file.is_dir():
        return None
    splits = dict.fromkeys(SPLIT_NAMES[word] for word in re.split(r"[._-]", name.stem) if word in SPLIT_NAMES)
    if len(splits) > 1:
        raise UserError(f"{file} is named after two splits, {' and '.join(splits)}: give it the name of one")
    return next(iter(splits), None)


def _cut_running_text(text: str, path: Path) -> dict[str, partial[Iterator[str]]]:
    """Cut a text of one or two lines at the first white space from 90 % and 95 % of its characters."""
    cuts = []
    for cut in _CUTS:
        space = re.compile(f"[{WHITE_SPACE}]").search(text, int(cut * len(text)))
        cuts.append(space.start() if space else int(cut * len(text)))
    first, second = cuts
    # the space at a cut goes to neither side
    parts = {"train": text[:first], "valid": strip_space(text[first:second]), "test": strip_space(text[second:])}
    if not all(strip_space(part) for part in parts.values()):
        raise UserError(f"{path} is too short to be cut in three: give a directory with train.txt, valid.txt, test.txt")
    return {split: partial(_split_newlines, part) for split, part in parts.items()}


def _split_newlines(text: str) -> Iterator[str]:
    return iter(text.split("\n"))
