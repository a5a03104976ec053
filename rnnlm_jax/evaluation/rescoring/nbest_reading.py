"""N-best lists, scores and references out of files, in the formats that recognisers and translators write.

What a list is, is decided by its first line, and every line must be the same:

- ``id<TAB>score[,score…]<TAB>text``; more columns of scores may stand between the first and the last;
- Moses: ``id ||| text ||| name= score … ||| total``, where what follows the total is not read;
- JSON lines: ``{"id": …, "scores": number, list or names with numbers, "text": …}``;
- Kaldi: ``id-1 text``, with a file of ``id-1 score`` for each score.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rnnlm_jax.data import read_lines, split_words, strip_space
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring.line_formats import KALDI, MOSES, SHAPES, TABS, Line, format_of, number, parser
from rnnlm_jax.evaluation.rescoring.nbest import Hypothesis, NbestList, collect


def read_nbest(path: str | Path, score_files: Sequence[str | Path] = ()) -> NbestList:
    """Read a list.

    Args:
        path: the list.
        score_files: of a Kaldi list, a file a score: ``id-1 score`` a line. They may know more hypotheses.

    Raises:
        UserError: if a file is missing, empty, or not UTF-8; or, with its number, for a line that is of another format
            than the first one, has another number of scores, or a score that is no finite number.
    """
    lines = _numbered(path)
    first = next(lines, None)
    if first is None:
        raise UserError(f"{path} holds no hypotheses: give a file with one a line")
    list_format = format_of(first[1])
    everything = _chained(first, lines)
    if list_format == KALDI:
        if not score_files:
            raise UserError(
                f"{path} line {first[0]}: no scores: give {SHAPES[TABS]}, {SHAPES[MOSES]}, or files of "
                "'id-1 score' with --scores"
            )
        files = tuple(Path(file).name for file in score_files)
        return collect(_kaldi(path, everything, score_files), str(path), list_format, files)
    if score_files:
        raise UserError(f"{path} has scores of its own: --scores goes with lists of '{SHAPES[KALDI]}'")
    names: list[tuple[str, ...]] = []
    return _with_names(collect(_alike(path, everything, list_format, names), str(path), list_format), names)


def read_references(paths: Sequence[str | Path]) -> dict[str, str]:
    """What was said: ``id<TAB>text`` a line, or, in a line without a tab, ``id text``.

    Raises:
        UserError: if a file is missing, empty, or not UTF-8, or an id has two texts.
    """
    found: dict[str, str] = {}
    for path in paths:
        for place, line in _numbered(path):
            key, text = _key_and_rest(line)
            if found.setdefault(key, text) != text:
                raise UserError(f"{path} line {place}: a second reference for {key!r}: keep one")
    return found


def _alike(
    path: str | Path, lines: Iterable[tuple[int, str]], list_format: str, names: list[tuple[str, ...]]
) -> Iterator[Hypothesis]:
    """The hypotheses of lines that are all in one format; ``names`` becomes what the first one calls its scores."""
    parse = parser(list_format)
    first: Line | None = None
    for place, line in lines:
        try:
            found = parse(line)
            if first is None:
                first = found
                names.append(found.score_names)
            _check_alike(found, first)
        except UserError as error:
            raise UserError(f"{path} line {place}: {error}") from None
        yield found.hypothesis


def _check_alike(line: Line, first: Line) -> None:
    here, there = len(line.hypothesis.scores), len(first.hypothesis.scores)
    if here != there:
        raise UserError(f"{here} scores where the first line has {there}: give each hypothesis the same scores")
    if line.score_names != first.score_names:
        raise UserError(f"scores are {_listed(line.score_names)}, in the first line {_listed(first.score_names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "without names"


def _with_names(found: NbestList, names: list[tuple[str, ...]]) -> NbestList:
    """Scores by their names in the file, where it has some."""
    if not names[0]:
        return found
    return NbestList(**{**vars(found), "score_names": names[0]})


def _kaldi(
    path: str | Path, lines: Iterable[tuple[int, str]], score_files: Sequence[str | Path]
) -> Iterator[Hypothesis]:
    """``id-1 text``: the utterance is what stands before the last hyphen, since hypotheses are numbered so."""
    tables = [_scores(file) for file in score_files]
    seen: set[str] = set()
    for place, line in lines:
        key, text = _key_and_rest(line)
        utterance, hyphen, rank = key.rpartition("-")
        if "\t" in line or "|||" in line or not (hyphen and utterance and rank.isdigit()):
            raise UserError(
                f"{path} line {place}: {key!r} is no utterance and rank, as in id-1: it must be 'id-1 text'"
            )
        if key in seen:
            raise UserError(f"{path} line {place}: {key!r} for the second time: name each hypothesis once")
        seen.add(key)
        for file, table in zip(score_files, tables, strict=True):
            if key not in table:
                raise UserError(f"{file} has no score of {key!r}, {path} line {place}: give one for each hypothesis")
        yield Hypothesis(utterance, tuple(table[key] for table in tables), text)


def _scores(path: str | Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for place, line in _numbered(path):
        words = split_words(line)
        if len(words) != 2:
            raise UserError(f"{path} line {place}: {len(words)} words: it must be 'id-1 score'")
        if words[0] in found:
            raise UserError(f"{path} line {place}: a second score of {words[0]!r}: keep one")
        try:
            found[words[0]] = number(words[1])
        except UserError as error:
            raise UserError(f"{path} line {place}: {error}") from None
    return found


def _key_and_rest(line: str) -> tuple[str, str]:
    key, tab, rest = line.partition("\t")
    if not tab:
        key = split_words(line)[0]
        rest = strip_space(line).removeprefix(key)
    return strip_space(key), strip_space(rest)


def _numbered(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers."""
    return ((place, line) for place, line in enumerate(read_lines(path), 1) if strip_space(line))


def _chained(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest
