"""Read vocabulary files: JSON that `Vocabulary.save` wrote, or text with one word a line."""

from __future__ import annotations

import json
from pathlib import Path

from rnnlm_jax.data.corpora.text_reading import lines_of_file
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.data.white_space import split_words
from rnnlm_jax.errors import DataError
from rnnlm_jax.system.input_files import file_opener

UNK = "<unk>"
"""The unknown token of a list of words, if it is there."""
EOS_CANDIDATES = ("<eos>", "</s>")
"""Possible end-of-line tokens of a list of words; the first that is there is used."""


def read_vocabulary_file(path: str | Path) -> Vocabulary:
    """Return the vocabulary of a JSON file of this library, or of a text file with one word a line, ordered by id.

    In a text file `<unk>` is the unknown token, and `<eos>` or `</s>` the end-of-line token. Without the former,
    unknown words are errors; without the latter, ends of lines are not tokens. The file may be gzip or a pipe.

    Raises:
        DataError: the file cannot be read, is damaged, empty or not UTF-8, or has a line that is empty, has several
            words, or repeats an earlier line.
    """
    open_file = file_opener(path, "vocabulary file")
    with open_file() as file:
        content = file.read()
    if Path(path).suffix == ".json" or _is_json_object(content):
        return Vocabulary.from_json(content, str(path))
    words: dict[str, int] = {}
    for number, line in enumerate(lines_of_file(open_file(), path), 1):
        found = split_words(line)
        if len(found) != 1:
            what = f"holds {len(found)} words" if found else "is empty"
            raise DataError(f"line {number} of {path} {what}: give one word a line, or a vocabulary.json")
        if found[0] in words:
            raise DataError(
                f"line {number} of {path} repeats {found[0]!r} of line {words[found[0]]}: give each word once"
            )
        words[found[0]] = number
    eos = next((end for end in EOS_CANDIDATES if end in words), None)
    return Vocabulary("word", tuple(words), UNK if UNK in words else None, eos)


def _is_json_object(content: bytes) -> bool:
    """Return whether the content of a file is a JSON object; a list of words may begin with a brace too."""
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False
