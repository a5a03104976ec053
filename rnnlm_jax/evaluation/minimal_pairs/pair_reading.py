"""Read minimal pairs from files: BLiMP's JSON lines, sentences between tabs, and texts with the index of a verb."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnnlm_jax.data import read_lines, strip_space
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.minimal_pairs.index_files import SUFFIXES, index_pairs, is_stem
from rnnlm_jax.evaluation.minimal_pairs.pair import SENTENCE, WORD, Pair, PairSet
from rnnlm_jax.evaluation.minimal_pairs.pair_lines import is_json, json_pair, tab_pair


def read_pairs(names: str | Path | Sequence[str | Path]) -> PairSet:
    """Read minimal pairs.

    Args:
        names: one name, or several of data in one format. A name is that of a file, plain or gzip, whose first line
            decides what all its lines are: a JSON object as BLiMP has it, or ``good<TAB>bad[<TAB>group]``; or it is the
            stem of ``STEM.text``, ``STEM.eval`` and ``STEM.gold``, see ``index_pairs``.

    Raises:
        DataError: if a file is missing, empty, not UTF-8 or without pairs, the formats differ, or, with its number,
            for a line that lacks a field or has a wrong one.
    """
    paths = [names] if isinstance(names, str | Path) else list(names)
    pairs: list[Pair] = []
    formats: list[str] = []
    for path in paths:
        found_format, found = _read(path)
        if formats and found_format != formats[0]:
            raise DataError(f"{paths[0]} has {formats[0]} and {path} {found_format}: give data in one format at a time")
        formats.append(found_format)
        pairs += found
    if not pairs:
        raise DataError("no data to read minimal pairs from: give at least one file")
    name = Path(paths[0]).name if len(paths) == 1 else f"{len(paths)} files"
    return PairSet(name, tuple(pairs), WORD if formats[0] == INDEX else SENTENCE)


#: Formats, for messages.
JSON, TABS, INDEX = "JSON lines", "sentences between tabs", "a verb's index"


def _read(path: str | Path) -> tuple[str, list[Pair]]:
    """Return the format of a file, or of the files of a stem, and its pairs."""
    if is_stem(path):
        return INDEX, index_pairs(path)
    if not Path(path).exists():
        files = ", ".join(f"{path}{suffix}" for suffix in SUFFIXES)
        raise DataError(f"cannot find the minimal pairs {path}: neither that file nor {files} exists")
    lines = ((number, line) for number, line in enumerate(read_lines(path), 1) if strip_space(line))
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} holds no minimal pairs: give a file with one a line")
    json_lines = is_json(first[1])
    return JSON if json_lines else TABS, list(_pairs(path, _chained(first, lines), json_lines))


def _chained(first: tuple[int, str], others: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from others


def _pairs(path: str | Path, lines: Iterable[tuple[int, str]], json_lines: bool) -> Iterator[Pair]:
    """Yield the pair of each line; pairs without a group are of the group that the file is named after."""
    parse = json_pair if json_lines else tab_pair
    group = Path(path).name.removesuffix(".gz").rpartition(".")[0] or Path(path).name
    for number, line in lines:
        try:
            yield parse(line, group)
        except DataError as error:
            raise DataError(f"{path} line {number}: {error}") from None
