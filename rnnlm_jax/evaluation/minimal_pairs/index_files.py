"""Sentences with the index of a verb, and its right and wrong form: ``STEM.text``, ``STEM.eval`` and ``STEM.gold``.

Two data sets have this format: subject-verb agreement in sentences of Wikipedia (Linzen, Dupoux & Goldberg 2016), and
agreement in sentences and in nonsense (Gulordava et al. 2018).
"""

from pathlib import Path

from rnnlm_jax.data import read_lines, split_words
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.minimal_pairs.pair import Contrast, Pair

SUFFIXES = (".text", ".eval", ".gold")
#: Last word of a sentence that stands for its end, and is not a word.
END = "<eos>"
#: Number of fields in a line of ``STEM.gold``, and the fields that are read.
LINZEN_FIELDS, GULORDAVA_FIELDS = 4, 12
FIELDS = (
    f"{LINZEN_FIELDS} fields between tabs (index, right form, wrong form, attractors) or {GULORDAVA_FIELDS} (pattern "
    "first, fourth the index, seventh the right form, eighth the wrong one)"
)


def is_stem(name: str | Path) -> bool:
    """Return whether a name is not that of a file, but the stem of at least one of the three."""
    return not Path(name).is_file() and any(Path(f"{name}{suffix}").exists() for suffix in SUFFIXES)


def index_pairs(stem: str | Path) -> list[Pair]:
    """Read the pairs of three files, line by line.

    - ``.text``: words between white space, the last optionally ``<eos>``;
    - ``.eval``: 0-based index of the verb among the words;
    - ``.gold``: four fields between tabs (Linzen et al.): index, right form, wrong form, number of attractors, which is
      the group; or twelve (Gulordava et al.): the first is the pattern, which is the group; the third 0 for an original
      sentence and more for nonsense made of it, which is the category; the fourth the index, the seventh and eighth the
      right and the wrong form, the tenth the index at which the dependency begins.

    The forms are compared after the words before the verb. With four fields the right form must stand at the index;
    the text may be in lower case, and then both forms are, too. With twelve it need not, because nonsense has other
    words there; whole sentences have the forms in their place. Equal forms, which the data of Linzen et al. has in four
    lines, are a tie for every model.

    Raises:
        DataError: if a file is missing, empty or not UTF-8, their numbers of lines differ, or, with its number, for a
            line with other fields, an index outside the sentence, or a form that does not stand there.
    """
    text, evaluated, gold = (list(read_lines(f"{stem}{suffix}")) for suffix in SUFFIXES)
    if not len(text) == len(evaluated) == len(gold):
        counts = " and ".join(
            f"{len(lines):,} in {Path(f'{stem}{suffix}').name}"
            for suffix, lines in zip(SUFFIXES, (text, evaluated, gold), strict=True)
        )
        raise DataError(f"the files of {stem} have different numbers of lines, {counts}: give one line a sentence")
    pairs = []
    for number, (sentence, index, fields) in enumerate(zip(text, evaluated, gold, strict=True), 1):
        try:
            pairs.append(_pair(_words(sentence), index, fields.split("\t")))
        except DataError as error:
            raise DataError(f"{stem} line {number}: {error}") from None
    return pairs


def _words(sentence: str) -> list[str]:
    words = split_words(sentence)
    return words[:-1] if words[-1:] == [END] else words


def _pair(words: list[str], evaluated: str, fields: list[str]) -> Pair:
    """Return the pair of one line of each file."""
    if len(fields) not in (LINZEN_FIELDS, GULORDAVA_FIELDS):
        raise DataError(f"the .gold file has {len(fields)} fields: give {FIELDS}")
    linzen = len(fields) == LINZEN_FIELDS
    index = _number("the index in the .eval file", evaluated)
    given = _number("the index in the .gold file", fields[0 if linzen else 3])
    if index != given:
        raise DataError(f"the index is {index} in the .eval file and {given} in the .gold file: give the same")
    if index >= len(words):
        raise DataError(f"the index {index} is outside the sentence of {len(words)} words: indices begin with 0")
    right, wrong = (_form(field) for field in (fields[1:3] if linzen else fields[6:8]))
    if linzen and right != words[index]:
        if right.lower() != words[index]:
            raise DataError(f"the word with index {index} is {words[index]!r}, not {right!r}: give the verb's index")
        right, wrong = words[index], wrong.lower()
    good, bad = (" ".join((*words[:index], form, *words[index + 1 :])) for form in (right, wrong))
    prefix = " ".join(words[:index])
    contrast = Contrast(prefix, right, prefix, wrong)
    if linzen:
        return Pair(good, bad, contrast, group=str(_number("the number of attractors", fields[3])))
    return Pair(
        good,
        bad,
        contrast,
        group=_form(fields[0]),
        category="original" if fields[2].strip() == "0" else "nonsense",
        dependency_length=_dependency_length(index, fields[9]),
    )


def _dependency_length(index: int, begins: str) -> int | None:
    """Return the number of words from the beginning of the dependency to the verb; None if the field is not that."""
    return index - int(begins) if begins.strip().isdecimal() and int(begins) < index else None


def _number(what: str, field: str) -> int:
    if not field.strip().isdecimal():
        raise DataError(f"{what} is {field[:40]!r}: give a whole number of 0 or more")
    return int(field)


def _form(field: str) -> str:
    words = split_words(field)
    if len(words) != 1:
        raise DataError(f"{field[:40]!r} is not one word: give {FIELDS}")
    return words[0]
