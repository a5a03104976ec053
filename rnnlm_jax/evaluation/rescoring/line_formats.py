"""Lines of n-best lists: recognise their format and parse them."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from rnnlm_jax.data import split_words, strip_space
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.rescoring.nbest import Hypothesis

TABS, MOSES, JSON_LINES, KALDI = "tabs", "moses", "json lines", "kaldi"
#: Format -> form of a line, for messages.
LINE_FORMS = {
    TABS: "id, score[,score…] and text between tabs",
    MOSES: "id ||| text ||| name= score … ||| total",
    JSON_LINES: '{"id": …, "scores": …, "text": …}',
    KALDI: "id-1 text",
}
BAR = "|||"
#: Largest absolute value of a score or weight, so that sums of their products are finite.
LARGEST_SCORE = 1e30


class Line(NamedTuple):
    """Hypothesis of a line, and the names of its scores; () if the format has no names."""

    hypothesis: Hypothesis
    score_names: tuple[str, ...] = ()


def format_of(line: str) -> str:
    """Return the format of a list with the given first line that is not empty."""
    if strip_space(line).startswith("{"):
        return JSON_LINES
    fields = line.split("\t")
    if len(fields) > 1 and (BAR not in line or all(map(_is_number, fields[1].split(",")))):
        return TABS
    return MOSES if BAR in line else KALDI


def parser(list_format: str) -> Callable[[str], Line]:
    """Return the function that parses a line of a format; it raises DataError, without file and line number."""
    return {TABS: _parse_tabs, MOSES: _parse_moses, JSON_LINES: _parse_json}[list_format]


def parse_score(word: Any) -> float:
    """Return a score, given as a string or a JSON value.

    Raises:
        DataError: if it is not a finite number.
    """
    try:
        value = float(word)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{str(word)[:40]!r} is not a score: give a number") from None
    if isinstance(word, bool) or not abs(value) <= LARGEST_SCORE:
        raise DataError(f"{word!r} is not a score: give a finite number, at most {LARGEST_SCORE:g}")
    return value


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _parse_tabs(line: str) -> Line:
    fields = line.split("\t")
    if len(fields) < 3:
        raise DataError(f"{len(fields)} of 3 columns: it must be {LINE_FORMS[TABS]}")
    scores = [parse_score(strip_space(word)) for field in fields[1:-1] for word in field.split(",")]
    return Line(Hypothesis(_id(fields[0]), tuple(scores), strip_space(fields[-1])))


def _parse_moses(line: str) -> Line:
    """Parse a Moses line: the features are scores, each with the last name before it; the total is the last score."""
    fields = [strip_space(field) for field in line.split(BAR)]
    if len(fields) < 3:
        raise DataError(f"{len(fields)} of 4 fields: it must be {LINE_FORMS[MOSES]}")
    names, scores, name = [], [], "score"
    for word in split_words(fields[2].replace("=", "= ")):
        if word.endswith("="):
            name = word[:-1]
        else:
            names.append(name)
            scores.append(parse_score(word))
    if len(fields) > 3:
        names.append("total")
        scores.append(parse_score(fields[3]))
    if not scores:
        raise DataError(f"no score: it must be {LINE_FORMS[MOSES]}")
    return Line(Hypothesis(_id(fields[0]), tuple(scores), fields[1]), tuple(names))


def _parse_json(line: str) -> Line:
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"not JSON: it must be {LINE_FORMS[JSON_LINES]}") from None
    if not isinstance(content, dict):
        raise DataError(f"not a JSON object: it must be {LINE_FORMS[JSON_LINES]}")
    for key in ("id", "text"):
        if not isinstance(content.get(key), str | int) or isinstance(content[key], bool):
            raise DataError(f"no {key!r}: it must be {LINE_FORMS[JSON_LINES]}")
        if any(end in strip_space(str(content[key])) for end in ("\n", "\r") + ("\t",) * (key == "id")):
            raise DataError(f"{key!r} has several lines or columns: a hypothesis must be one line")
    given = content.get("scores", content.get("score"))
    names: tuple[str, ...] = ()
    if isinstance(given, dict):
        names, given = tuple(given), list(given.values())
    for text in (str(content["id"]), str(content["text"]), *names):
        _require_characters(text)
    values: list[Any] = given if isinstance(given, list) else [given]
    if values in ([], [None]):
        raise DataError(f"no 'scores': it must be {LINE_FORMS[JSON_LINES]}")
    hypothesis = Hypothesis(_id(str(content["id"])), tuple(map(parse_score, values)), strip_space(str(content["text"])))
    return Line(hypothesis, names)


def _require_characters(text: str) -> None:
    """Check that a text can be encoded.

    Raises:
        DataError: if it contains half of a surrogate pair, which JSON can escape.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise DataError(f"{half!r} is half of a surrogate pair, not a character: write whole characters") from None


def _id(word: str) -> str:
    word = strip_space(word)
    if not word:
        raise DataError("no utterance id: give each hypothesis one")
    return word
