"""Text files as corpora: files named after splits, or one text split by position."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.corpora.text_cuts import cut_in_three
from rnnlm_jax.data.corpora.text_reading import TextFiles, read_lines
from rnnlm_jax.data.text_blocks import TextBlocks
from rnnlm_jax.errors import DataError
from rnnlm_jax.system.input_files import file_opener

SPLIT_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
"""The split that each name in a file name or data set stands for."""

_SUFFIXES = (".txt", ".tokens", ".raw")
_COMPRESSED = ".gz"


def is_pattern(name: str | Path) -> bool:
    """Return whether a name is a pattern of file names, such as `train-*.txt`, and not an existing file."""
    return glob.has_magic(str(name)) and not os.path.lexists(name)


def read_text(name: str | Path) -> TextBlocks:
    """Return the lines of a text file, as `read_lines`, or of all files of a pattern in the order of their names.

    Raises:
        DataError: as `read_lines`, or no file matches the pattern.
    """
    return _text(matching_files(str(name))).lines() if is_pattern(name) else read_lines(name)


def path_corpus(path: str | Path) -> Corpus:
    """Return the corpus of a directory, of the files that match a pattern such as `news-*.txt`, or of one file.

    Each file may be plain or gzip. In a directory the name of a file, or of a subfolder of text files, gives the split:
    `train.txt`, `ptb.train.txt`, `wiki.train.tokens`, `wiki.train.raw`, `train/`, in any case; `valid` may be called
    `validation` or `dev`. Hidden files are ignored. Files of a split whose names differ only in numbers
    (`train-00000-of-00010.txt`) are one text, in the order of the numbers. The text files of a directory without files
    named after splits are one text, in the same order, and so are the files of a pattern unless they are named after
    several splits.

    One text is split 90 / 5 / 5 by position in its characters, each cut moved to the end of its line, or in a text of
    one or two lines to the end of its word.

    Raises:
        DataError: a file cannot be found or read, the directory has no text, a split has two different texts, a file is
            named after two splits, or the text is too short to be split.
    """
    name = str(path)
    if is_pattern(name):
        files = matching_files(name)
        splits = [_split_of(file) for file in files]
        named = {split for split in splits if split is not None}
        if len(named) > 1 and None in splits:
            other = files[splits.index(None)]
            raise DataError(f"{name} matches files of several splits and {other}, which is of none: give another one")
        return _named(name, list(zip(splits, files, strict=True))) if len(named) > 1 else _cut(name, files)
    if not Path(name).is_dir():
        return _cut(name, [Path(name)])
    entries = sorted(Path(name).iterdir(), key=_number_order)
    found = [(split, file) for file in entries for split in [_split_of(file)] if split is not None]
    for folder in filter(Path.is_dir, entries):
        split = SPLIT_NAMES.get(folder.name.lower())
        found += [(split, file) for file in sorted(folder.iterdir(), key=_number_order) if split and _is_text(file)]
    if found:
        return _named(name, found)
    files = [file for file in entries if _is_text(file)]
    if not files:
        raise DataError(f"{name} has no splits: put train.txt, valid.txt and test.txt there")
    return _cut(name, files)


def _cut(name: str, files: Sequence[Path]) -> Corpus:
    return Corpus(name, "word", cut_in_three(_text(files), name))


def _named(name: str, found: Sequence[tuple[str | None, Path]]) -> Corpus:
    """Return the corpus of files with the split of each."""
    splits: dict[str, list[Path]] = {"train": [], "valid": [], "test": []}
    for split, file in found:
        splits[split or "train"].append(file)
    for split, files in splits.items():
        for file in files[1:]:
            if file.parent == files[0].parent and SPLIT_NAMES.get(file.parent.name.lower()) == split:
                continue  # any files in a folder named after the split are one text
            if _without_numbers(file) != _without_numbers(files[0]) or _uncompressed_name(file) in map(
                _uncompressed_name, files[: files.index(file)]
            ):
                names = f"{files[0].name} and {file.name}"
                raise DataError(f"{name} has two {split} files, {names}: keep one of them there")
    if not splits["train"] and not splits["test"]:
        raise DataError(f"{name} has no splits: put train.txt, valid.txt and test.txt there")
    return Corpus(name, "word", {split: _text(files).lines for split, files in splits.items() if files})


def _text(files: Sequence[Path]) -> TextFiles:
    return TextFiles(files, [file_opener(file) for file in files])


def matching_files(pattern: str) -> list[Path]:
    """Return the files that match a pattern, in the order of their numbers.

    Raises:
        DataError: no file matches.
    """
    files = [Path(name) for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)]
    if not files:
        raise DataError(f"no file matches {pattern}: check the pattern, and quote it")
    return sorted(files, key=_number_order)


def _number_order(file: Path) -> list[tuple[int, str]]:
    """Return a sort key that puts `part-9` before `part-10`."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(file))]


def _uncompressed_name(file: Path) -> str:
    """Return the name of a file without the suffix of compression."""
    return file.name.removesuffix(_COMPRESSED)


def _without_numbers(file: Path) -> str:
    return re.sub(r"\d+", "0", _uncompressed_name(file))


def _is_text(file: Path) -> bool:
    """Return whether a file is a text file by its name."""
    name = Path(file.name.lower().removesuffix(_COMPRESSED))
    return not name.name.startswith(".") and name.suffix in _SUFFIXES and not file.is_dir()


def _split_of(file: Path) -> str | None:
    """Return the split that a text file is named after, or None.

    Raises:
        DataError: the file is named after two splits.
    """
    if not _is_text(file):
        return None
    name = Path(file.name.lower().removesuffix(_COMPRESSED))
    splits = dict.fromkeys(SPLIT_NAMES[word] for word in re.split(r"[._-]", name.stem) if word in SPLIT_NAMES)
    if len(splits) > 1:
        raise DataError(f"{file} is named after two splits, {' and '.join(splits)}: name it after one")
    return next(iter(splits), None)
