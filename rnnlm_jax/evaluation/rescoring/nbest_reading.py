"""Read n-best lists, scores and references from files, in the formats that recognisers and translators write.

The first line decides the format, and all lines must have it:

- ``id<TAB>score[,score…]<TAB>text``, optionally with more columns of scores between the first and the last;
- Moses: ``id ||| text ||| name= score … ||| total``; further fields are ignored;
- JSON lines: ``{"id": …, "scores": number, list, or object of names and numbers, "text": …}``;
- Kaldi: ``id-1 text``, and a file of ``id-1 score`` lines for each score.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnnlm_jax.data import read_lines, split_words, strip_space
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.rescoring.line_formats import (
    KALDI,
    LINE_FORMS,
    MOSES,
    TABS,
    Line,
    format_of,
    parse_score,
    parser,
)
from rnnlm_jax.evaluation.rescoring.nbest import Hypothesis, NbestList, collect


def read_nbest(path: str | Path, score_files: Sequence[str | Path] = ()) -> NbestList:
    """Read an n-best list.

    Args:
        path: file of the list.
        score_files: a file for each score of a Kaldi list, with ``id-1 score`` lines; other hypotheses are ignored.

    Raises:
        DataError: if a file is missing, empty, or not UTF-8; or, with its number, for a line that differs from the
            first in its format or number of scores, or has a score that is not a finite number.
    """
    lines = _numbered_lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} holds no hypotheses: give a file with one a line")
    list_format = format_of(first[1])
    all_lines = itertools.chain([first], lines)
    if list_format == KALDI:
        if not score_files:
            raise DataError(
                f"{path} line {first[0]}: no scores: give {LINE_FORMS[TABS]}, {LINE_FORMS[MOSES]}, or a "
                "file of 'id-1 score' lines for each score"
            )
        files = tuple(Path(file).name for file in score_files)
        return collect(_kaldi(path, all_lines, score_files), str(path), list_format, score_names=files)
    if score_files:
        raise DataError(f"{path} has scores of its own: files of scores go with lists of '{LINE_FORMS[KALDI]}'")
    names: list[str] = []
    nbest = collect(_hypotheses(path, all_lines, list_format, names), str(path), list_format)
    return dataclasses.replace(nbest, score_names=tuple(names)) if names else nbest


def read_references(paths: Sequence[str | Path]) -> dict[str, str]:
    """Read the reference text of each utterance: lines ``id<TAB>text``, or ``id text`` without a tab.

    Raises:
        DataError: if a file is missing, empty, or not UTF-8, or an id has two texts.
    """
    references: dict[str, str] = {}
    for path in paths:
        for number, line in _numbered_lines(path):
            key, text = _key_and_rest(line)
            if references.setdefault(key, text) != text:
                raise DataError(f"{path} line {number}: a second reference for {key!r}: keep one")
    return references


def _hypotheses(
    path: str | Path, lines: Iterable[tuple[int, str]], list_format: str, names: list[str]
) -> Iterator[Hypothesis]:
    """Yield the hypotheses of lines in one format; the names of the scores are appended to ``names``."""
    parse = parser(list_format)
    first: Line | None = None
    for number, text in lines:
        try:
            line = parse(text)
            if first is None:
                first = line
                names += line.score_names
            _require_same_scores(line, first)
        except DataError as error:
            raise DataError(f"{path} line {number}: {error}") from None
        yield line.hypothesis


def _require_same_scores(line: Line, first: Line) -> None:
    """Check that a line has the same scores as the first one."""
    here, there = len(line.hypothesis.scores), len(first.hypothesis.scores)
    if here != there:
        raise DataError(f"{here} scores where the first line has {there}: give each hypothesis the same scores")
    if line.score_names != first.score_names:
        raise DataError(f"scores are {_listed(line.score_names)}, in the first line {_listed(first.score_names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "without names"


def _kaldi(
    path: str | Path, lines: Iterable[tuple[int, str]], score_files: Sequence[str | Path]
) -> Iterator[Hypothesis]:
    """Yield the hypotheses of ``id-1 text`` lines; the utterance is the part before the last hyphen."""
    tables = [_read_scores(file) for file in score_files]
    seen: set[str] = set()
    for number, line in lines:
        key, text = _key_and_rest(line)
        utterance, hyphen, rank = key.rpartition("-")
        if "\t" in line or "|||" in line or not (hyphen and utterance and rank.isdigit()):
            raise DataError(
                f"{path} line {number}: {key!r} is not an utterance and rank, as in id-1: it must be 'id-1 text'"
            )
        if key in seen:
            raise DataError(f"{path} line {number}: {key!r} for the second time: name each hypothesis once")
        seen.add(key)
        for file, table in zip(score_files, tables, strict=True):
            if key not in table:
                raise DataError(f"{file} has no score of {key!r}, {path} line {number}: give one for each hypothesis")
        yield Hypothesis(utterance, tuple(table[key] for table in tables), text)


def _read_scores(path: str | Path) -> dict[str, float]:
    """Read a file of ``id-1 score`` lines."""
    scores: dict[str, float] = {}
    for number, line in _numbered_lines(path):
        words = split_words(line)
        if len(words) != 2:
            raise DataError(f"{path} line {number}: {len(words)} words: it must be 'id-1 score'")
        if words[0] in scores:
            raise DataError(f"{path} line {number}: a second score of {words[0]!r}: keep one")
        try:
            scores[words[0]] = parse_score(words[1])
        except DataError as error:
            raise DataError(f"{path} line {number}: {error}") from None
    return scores


def _key_and_rest(line: str) -> tuple[str, str]:
    """Split a line at its first tab, or after its first word."""
    key, tab, rest = line.partition("\t")
    if not tab:
        key = split_words(line)[0]
        rest = strip_space(line).removeprefix(key)
    return strip_space(key), strip_space(rest)


def _numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers."""
    return ((number, line) for number, line in enumerate(read_lines(path), 1) if strip_space(line))
