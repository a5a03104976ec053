"""The `pydoc` corpus: the help topics of Python's language reference, as sentences of words.

They are the chapters that `help("while")` prints, imported from `pydoc_data.topics` of the running interpreter, so the
corpus needs no download. The text changes a little between versions of Python, and results are comparable only within
one. (The text is part of Python and under its licence.)
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import cached_property, partial

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
    """Return the corpus of Python's help topics: lower-cased words, one sentence or heading a line.

    A hash of a topic's name decides between train, valid and test (about 80 / 10 / 10, see `split_of`). Topics overlap,
    since chapters repeat their sections; a paragraph is kept only in the shortest topic that has it, so that no
    paragraph of the test text is in the training text.

    Raises:
        DataError: this Python does not have its help topics; raised on reading.
    """
    topics = _HelpTopics()
    return Corpus("pydoc", "word", {split: partial(topics.lines, split) for split in ("train", "valid", "test")})


def tokenise(sentence: str) -> list[str]:
    """Return the lower-cased tokens of a sentence.

    A token is a word (letters, digits, underscores and an apostrophe: `don't`, `__init__`), a number with points
    (`3.11`), `e.g.` or `i.e.`, or any other single character except white space.
    """
    return _TOKEN.findall(sentence.translate(_TYPOGRAPHY).lower())


def split_of(topic: str) -> str:
    """Return the split of a topic by the sha256 of `rnnlm_jax:` and its name, modulo 10: 8 valid, 9 test, else train.

    A few chapters have most of the text; with this prefix, 82 % of the tokens are in train.
    """
    last_digit = int(hashlib.sha256(f"rnnlm_jax:{topic}".encode()).hexdigest(), 16) % 10
    return {8: "valid", 9: "test"}.get(last_digit, "train")


def prose(topic: str) -> Iterator[str]:
    """Yield the headings, signatures and paragraphs of a topic, unwrapped.

    Underlines, tables, grammar rules, interpreter sessions and code are left out. Code is text indented further than a
    preceding paragraph that ends in a colon, except after one or two words ("Note:") and in lists.
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
    """Yield the joined lines of a block, with list items (without bullets) and defined terms separately."""
    lines = textwrap.dedent("\n".join(lines)).split("\n")
    if len(lines) > 1 and lines[1].startswith(" ") and not _BULLET.match(lines[0]):
        yield lines.pop(0).strip()  # a term; its definition is indented below
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


class _HelpTopics:
    """The lines of the three splits, made on first use."""

    def lines(self, split: str) -> Iterator[str]:
        return iter(self._splits[split])

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        return _make_splits()


def _make_splits() -> dict[str, tuple[str, ...]]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError("this Python does not have pydoc_data, its help topics: choose another corpus") from None
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
