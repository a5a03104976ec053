"""The text that every CPython carries: the topics of its language reference, as sentences of words.

`pydoc_data.topics` holds the chapters that `help("while")` prints. They are imported from the running interpreter, so
this corpus needs no download and is no file of this library; it changes a little with Python's version, and results on
it compare only within one. (The text is part of Python and under its licence.)
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache

from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.errors import DataError

_ABBREVIATION = r"e\.g\.|i\.e\."
_TOKEN = re.compile(rf"{_ABBREVIATION}|[^\W\d]\w*(?:'[a-z]+)?|\d\w*(?:\.\d\w*)*|\S")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[\"(]?[A-Z_])")
_EMPHASIS = re.compile(r"\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")
_UNDERLINE = re.compile(r"\s*([*=\-~^\"#.])\1{2,}\s*")
_BULLET = re.compile(r"\s*(?:\*|\d+\.)\s+")
_NOT_PROSE = re.compile(r"::=|>>>|^\s*[+|]", re.MULTILINE)  # grammar rules, interpreter sessions, tables
_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "…": "..."})


def pydoc_corpus() -> Corpus:
    """Return the corpus of Python's help topics, lower-cased words, a sentence or heading a line.

    The name of a topic says whether it belongs to train, valid or test (about 80 / 10 / 10, see `split_of`). Topics
    overlap: chapters repeat their sections. A paragraph stays in the shortest topic that has it and nowhere
    else, so that no paragraph of the test text has been trained on.

    Raises:
        DataError: this Python comes without its help topics.
    """
    return Corpus(
        "pydoc",
        "word",
        {
            "train": lambda: iter(_splits()["train"]),
            "valid": lambda: iter(_splits()["valid"]),
            "test": lambda: iter(_splits()["test"]),
        },
    )


def tokenise(sentence: str) -> list[str]:
    """Return the lower-cased tokens of a sentence.

    A token is a word (letters, digits and underscores, with its apostrophe: `don't`, `__init__`), a number with its
    points (`3.11`), one of `e.g.` and `i.e.`, or any other single character that is no space.
    """
    return _TOKEN.findall(sentence.translate(_TYPOGRAPHY).lower())


def split_of(topic: str) -> str:
    """Return the split of a topic, from the sha256 of `rnnlm_jax:` and its name: 0-7 train, 8 valid, 9 test, modulo 10.

    The prefix is there because a few chapters hold most of the text: with it, 82 % of the tokens are train.
    """
    last_digit = int(hashlib.sha256(f"rnnlm_jax:{topic}".encode()).hexdigest(), 16) % 10
    return {8: "valid", 9: "test"}.get(last_digit, "train")


def prose(topic: str) -> Iterator[str]:
    """Yield the headings, signatures and paragraphs of a topic, unwrapped.

    Underlines, tables, grammar rules, interpreter sessions and code are left out. Code is what is indented further
    than a paragraph that ends in a colon, except below a bare word or two ("Note:") and in lists.
    """
    code_indent: int | None = None  # blocks indented further than this are code
    for block in re.split(r"\n\s*\n", topic.strip("\n")):
        lines = [line for line in block.split("\n") if line.strip() and not _UNDERLINE.fullmatch(line)]
        if not lines:
            continue
        indent = len(lines[0]) - len(lines[0].lstrip())
        if code_indent is not None and indent > code_indent and not _BULLET.match(lines[0]):
            continue
        code_indent = None
        if _NOT_PROSE.search(block):
            continue
        for paragraph in _items(lines):
            yield paragraph
            if paragraph.endswith(":") and len(paragraph.split()) > 2:
                code_indent = indent


def _items(lines: list[str]) -> Iterator[str]:
    """Yield the joined lines of a block; a list item (without its bullet) and a defined term each on its own."""
    lines = textwrap.dedent("\n".join(lines)).split("\n")
    if len(lines) > 1 and lines[1].startswith(" ") and not _BULLET.match(lines[0]):
        yield lines.pop(0).strip()  # its definition hangs below it
    gathered: list[str] = []
    for line in lines:
        bullet = _BULLET.match(line)
        if bullet and gathered:
            yield " ".join(gathered)
            gathered = []
        gathered.append(line[bullet.end() :].strip() if bullet else line.strip())
    yield " ".join(gathered)


def _sentences(paragraph: str) -> Iterable[str]:
    return _SENTENCE_END.split(_EMPHASIS.sub(lambda match: match[1] or match[2], paragraph.translate(_TYPOGRAPHY)))


@cache
def _splits() -> dict[str, tuple[str, ...]]:
    """Return the lines of the three splits; made once, in a fraction of a second."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError("this Python comes without pydoc_data, its help topics: choose another corpus") from None
    splits: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    seen: set[str] = set()
    texts: dict[str, list[str]] = {}
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        texts[name] = [paragraph for paragraph in dict.fromkeys(prose(topics[name])) if paragraph not in seen]
        seen.update(texts[name])
    for name in sorted(texts):
        lines = splits[split_of(name)]
        for paragraph in texts[name]:
            lines.extend(" ".join(tokenise(sentence)) for sentence in _sentences(paragraph))
    return {split: tuple(lines) for split, lines in splits.items()}
