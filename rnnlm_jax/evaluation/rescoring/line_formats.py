"""The lines of n-best lists as people have them: which format a line is in, and what it says."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from rnnlm_jax.data import split_words, strip_space
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring.nbest import Hypothesis

TABS, MOSES, JSON_LINES, KALDI = "tabs", "moses", "json lines", "kaldi"
#: What a line of each format looks like, for messages.
SHAPES = {
    TABS: "id, score[,score…] and text between tabs",
    MOSES: "id ||| text ||| name= score … ||| total",
    JSON_LINES: '{"id": …, "scores": …, "text": …}',
    KALDI: "id-1 text",
}
BAR = "|||"
#: The largest score or weight: sums of their products are finite.
LARGEST = 1e30


class Line(NamedTuple):
    """A hypothesis, and what its scores are called; no names: by number."""

    hypothesis: Hypothesis
    score_names: tuple[str, ...] = ()


def format_of(line: str) -> str:
    """The format of a list, by its first line that is not empty."""
    if strip_space(line).startswith("{"):
        return JSON_LINES
    fields = line.split("\t")
    if len(fields) > 1 and (BAR not in line or all(map(_is_number, fields[1].split(",")))):
        return TABS
    return MOSES if BAR in line else KALDI


def parser(list_format: str) -> Callable[[str], Line]:
    """What reads a line of a format; it raises UserError, without a place, for a line of another."""
    return {TABS: _tabs, MOSES: _moses, JSON_LINES: _json_line}[list_format]


def number(word: Any) -> float:
    """A score.

    Raises:
        UserError: if it is none, or is not finite.
    """
    try:
        value = float(word)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{str(word)[:40]!r} is no score: give a number") from None
    if isinstance(word, bool) or not abs(value) <= LARGEST:
        raise UserError(f"{word!r} is no score: give a finite number, at most {LARGEST:g}")
    return value


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _tabs(line: str) -> Line:
    fields = line.split("\t")
    if len(fields) < 3:
        raise UserError(f"{len(fields)} of 3 columns: it must be {SHAPES[TABS]}")
    scores = [number(strip_space(word)) for field in fields[1:-1] for word in field.split(",")]
    return Line(Hypothesis(_id(fields[0]), tuple(scores), strip_space(fields[-1])))


def _moses(line: str) -> Line:
    """Features are scores in their order, each under the last name before it, and the total is the last one."""
    fields = [strip_space(field) for field in line.split(BAR)]
    if len(fields) < 3:
        raise UserError(f"{len(fields)} of 4 fields: it must be {SHAPES[MOSES]}")
    names, scores, name = [], [], "score"
    for word in split_words(fields[2].replace("=", "= ")):
        if word.endswith("="):
            name = word[:-1]
        else:
            names.append(name)
            scores.append(number(word))
    if len(fields) > 3:
        names.append("total")
        scores.append(number(fields[3]))
    if not scores:
        raise UserError(f"no score: it must be {SHAPES[MOSES]}")
    return Line(Hypothesis(_id(fields[0]), tuple(scores), fields[1]), tuple(names))


def _json_line(line: str) -> Line:
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"no JSON: it must be {SHAPES[JSON_LINES]}") from None
    if not isinstance(content, dict):
        raise UserError(f"no JSON object: it must be {SHAPES[JSON_LINES]}")
    for key in ("id", "text"):
        if not isinstance(content.get(key), str | int) or isinstance(content[key], bool):
            raise UserError(f"no {key!r}: it must be {SHAPES[JSON_LINES]}")
        if any(end in strip_space(str(content[key])) for end in ("\n", "\r") + ("\t",) * (key == "id")):
            raise UserError(f"{key!r} is of several lines or columns: what is written has one line a hypothesis")
    given = content.get("scores", content.get("score"))
    names: tuple[str, ...] = ()
    if isinstance(given, dict):
        names, given = tuple(given), list(given.values())
    for text in (str(content["id"]), str(content["text"]), *names):
        _require_characters(text)
    values: list[Any] = given if isinstance(given, list) else [given]
    if values in ([], [None]):
        raise UserError(f"no 'scores': it must be {SHAPES[JSON_LINES]}")
    hypothesis = Hypothesis(_id(str(content["id"])), tuple(map(number, values)), strip_space(str(content["text"])))
    return Line(hypothesis, names)


def _require_characters(text: str) -> None:
    """Check that a text can be written.

    Raises:
        UserError: if it has half of a surrogate pair, which JSON can escape.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise UserError(f"{half!r} is half of a surrogate pair, and no character: write whole characters") from None


def _id(word: str) -> str:
    word = strip_space(word)
    if not word:
        raise UserError("no utterance id: give each hypothesis one")
    return word
