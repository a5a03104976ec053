"""Lines of files of minimal pairs: BLiMP's JSON objects, and sentences between tabs."""

import json
from typing import Any

from rnnlm_jax.data import strip_space
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.minimal_pairs.pair import Contrast, Pair, contrast_at_first_difference

GOOD, BAD = "sentence_good", "sentence_bad"
#: Fields of a comparison of two words after one prefix, and of one word after two prefixes.
ONE_PREFIX = ("one_prefix_prefix", "one_prefix_word_good", "one_prefix_word_bad")
TWO_PREFIXES = ("two_prefix_prefix_good", "two_prefix_prefix_bad", "two_prefix_word")
#: Forms of a line, for messages.
JSON_FORM = f'{{"{GOOD}": …, "{BAD}": …}}'
TAB_FORM = "good sentence, bad sentence and optionally a group, between tabs"


def is_json(line: str) -> bool:
    """Return whether the first line of a file is a JSON object."""
    return strip_space(line).startswith("{")


def json_pair(line: str, group: str) -> Pair:
    """Return the pair of a line of BLiMP (Warstadt et al. 2020, section 3).

    Args:
        line: JSON object with the two sentences; optionally ``UID`` (the paradigm), ``linguistics_term`` (its
            phenomenon), ``dependency_length`` in words, and the fields of ``ONE_PREFIX`` or ``TWO_PREFIXES``. Other
            fields are ignored.
        group: paradigm of a line without ``UID``.

    Raises:
        DataError: if the line is not such an object.
    """
    try:
        fields = json.loads(line)
    except ValueError:
        raise DataError(f"not JSON: it must be {JSON_FORM}") from None
    if not isinstance(fields, dict):
        raise DataError(f"not a JSON object: it must be {JSON_FORM}")
    good, bad = (_text(fields, name) for name in (GOOD, BAD))
    _require_different(good, bad)
    return Pair(
        good,
        bad,
        _contrast(fields),
        group=_text(fields, "UID", group),
        category=_text(fields, "linguistics_term", ""),
        dependency_length=_length(fields),
    )


def tab_pair(line: str, group: str) -> Pair:
    """Return the pair of a line ``good<TAB>bad[<TAB>group]``; at one word, the first in which they differ is compared.

    Args:
        line: two or three fields.
        group: group of a line with two.

    Raises:
        DataError: if the line has other fields.
    """
    fields = [strip_space(field) for field in line.split("\t")]
    if len(fields) not in (2, 3):
        raise DataError(f"{len(fields)} of 2 or 3 fields: it must be {TAB_FORM}")
    if "" in fields[:2]:
        raise DataError(f"a sentence is empty: it must be {TAB_FORM}")
    good, bad = fields[:2]
    _require_different(good, bad)
    return Pair(good, bad, contrast_at_first_difference(good, bad), group=(fields[2:] or [""])[0] or group)


def _require_different(good: str, bad: str) -> None:
    if good == bad:
        raise DataError(f"the two sentences are the same, {good!r}: leave the pair out")


def _contrast(fields: dict[str, Any]) -> Contrast | None:
    """Return the comparison at one word that the fields give, if they give one."""
    for names in (ONE_PREFIX, TWO_PREFIXES):
        if not any(name in fields for name in names):
            continue
        one, two, three = (_text(fields, name) for name in names)
        found = Contrast(one, two, one, three) if names is ONE_PREFIX else Contrast(one, three, two, three)
        _require_different(f"{found.good_prefix} {found.good}", f"{found.bad_prefix} {found.bad}")
        return found
    return None


def _text(fields: dict[str, Any], name: str, default: str | None = None) -> str:
    """Return a field that is a string; it may be missing or empty only with a default, which then replaces it."""
    value = fields.get(name)
    if value is None and default is None:
        raise DataError(f"no field '{name}': it must be {JSON_FORM}")
    if value is not None and not isinstance(value, str):
        raise DataError(f"the field '{name}' is {str(value)[:40]}: give a string")
    text = strip_space(value or "")
    if not text and default is None:
        raise DataError(f"the field '{name}' is empty: give some text")
    return text or str(default)


def _length(fields: dict[str, Any]) -> int | None:
    """Return the length of the dependency, if the line has it."""
    value = fields.get("dependency_length")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DataError(f"'dependency_length' is {str(value)[:40]}: give a number of words, 0 or more")
    return value
