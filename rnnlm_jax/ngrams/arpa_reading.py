"""Reading ARPA files, of whichever toolkit, plain or compressed."""

import math
import re
from collections.abc import Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.arpa_writing import BOS, EOS, UNK
from rnnlm_jax.ngrams.backoff_model import NgramModel
from rnnlm_jax.ngrams.ngram_counts import NO_NGRAM
from rnnlm_jax.ngrams.ngram_rows import NgramRows, levels_from_rows
from rnnlm_jax.system.input_files import BYTE_ORDER_MARK, input_lines, open_input

#: What this library calls the end of a line, and so the default of its vocabularies of words.
DEFAULT_EOS = "<eos>"

#: Lines parsed at a time.
CHUNK = 2**13


def read_arpa(path: str | Path) -> NgramModel:
    """Read a model from an ARPA file, as KenLM, SRILM or this library write it.

    The vocabulary is that of the file's unigrams, in their order, without ``<s>``; ``</s>`` becomes ``<eos>``, the
    end-of-line token, unless that is a word there; unknown words become ``<unk>`` (or ``<UNK>``), and are errors where
    the file has neither. So a file that this library wrote gives the vocabulary that it was written from. N-grams
    with ``<s>`` beyond their first word are never asked for, and left out.

    Raises:
        DataError: there is no such file, or it is not well formed; the message names the line.
    """
    with open_input(path, "ARPA file") as file:
        return arpa_model(file, str(path))


def arpa_model(file: BinaryIO, name: str) -> NgramModel:
    """The model of an open ARPA file, as ``read_arpa``; errors call it ``name``."""
    return _Parser(name, _lines(file, name)).model()


def is_arpa(beginning: bytes) -> bool:
    """Whether a file that begins so looks like an ARPA file: ``\\data\\`` is among its first lines."""
    lines = beginning.removeprefix(BYTE_ORDER_MARK).splitlines()
    return any(line.strip() == b"\\data\\" for line in lines)


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    lines = input_lines(file, name)
    yield next(lines, b"").removeprefix(BYTE_ORDER_MARK)
    yield from lines


class _Section:
    """The n-grams of one order as they stand, in pieces."""

    def __init__(self, order: int):
        """Begin with none, so that there is something to join."""
        self.ids = [np.zeros((0, order), np.int64)]
        self.log10 = [np.zeros(0)]
        self.backoff = [np.zeros(0)]

    def rows(self, new_ids: np.ndarray) -> NgramRows:
        """All pieces in one, with other numbers for words, in nats."""
        log10, backoff = np.concatenate(self.log10), np.concatenate(self.backoff)
        return NgramRows(new_ids[np.concatenate(self.ids)], log10 * math.log(10.0), backoff * math.log(10.0))

    def __len__(self) -> int:
        """The number of n-grams."""
        return sum(map(len, self.log10))


class _Malformed(Exception):
    """What is wrong with some line."""


class _Parser:
    """One pass through the lines, which knows the number of the current one."""

    def __init__(self, name: str, lines: Iterator[bytes]):
        """Begin before the first line."""
        self.name, self.lines = name, lines
        self.number = 0
        self.index: dict[bytes, int] = {}

    def fail(self, what: str) -> NoReturn:
        """Refuse, naming the line."""
        raise DataError(f"{self.name}, line {self.number}: {what}; this is no well-formed ARPA file")

    def next(self) -> bytes:
        """The next line that is not empty, stripped."""
        for raw in self.lines:
            self.number += 1
            if line := raw.strip():
                return line
        return self.fail("the file ends before \\end\\")

    def model(self) -> NgramModel:
        """Everything."""
        while self.next() != b"\\data\\":
            pass
        sizes = []
        while match := re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line := self.next()):
            if int(match[1]) != len(sizes) + 1:
                self.fail(f"the size of order {len(sizes) + 1} is missing")
            sizes.append(int(match[2]))
        if not sizes:
            self.fail("no line 'ngram 1=COUNT' follows \\data\\")
        sections = []
        for order, size in enumerate(sizes, 1):
            if line != b"\\%d-grams:" % order:
                self.fail(f"\\{order}-grams: must stand here")
            sections.append(self.section(order))
            line = self.next()
            found = len(sections[-1])
            if found != size:
                self.fail(f"there are {found:,} {order}-grams before this where {size:,} were announced")
        if line != b"\\end\\":
            self.fail("\\end\\ must stand here")
        return self.assembled(sections)

    def section(self, order: int) -> _Section:
        """The n-grams of one order; the next line is the one after them."""
        section = _Section(order)
        while lines := list(islice(self.lines, CHUNK)):
            # Each n-gram begins with a number, so this is the next section, or the end.
            end = next((i for i, line in enumerate(lines) if line.lstrip()[:1] == b"\\"), len(lines))
            try:
                self.parse(lines[:end], order, section)
            except _Malformed:
                self.parse_slowly(lines[:end], order)
            self.number += end
            if end < len(lines):
                self.lines = chain(lines[end:], self.lines)
                return section
        return section

    def parse_slowly(self, lines: list[bytes], order: int) -> None:
        """Find the line that is wrong, which one of these is."""
        for line in lines:
            self.number += 1
            try:
                self.parse([line], order, _Section(order))
            except _Malformed as error:
                self.fail(str(error))

    def parse(self, lines: list[bytes], order: int, section: _Section) -> None:
        """Add the n-grams of some lines to a section, or raise ``_Malformed`` before anything is added."""
        # One list of all fields: numbers and words are then found by place, not line by line.
        lengths = np.array([len(line.split()) for line in lines], np.int64)
        lengths = lengths[lengths > 0]
        if not np.isin(lengths, (order + 1, order + 2)).all():
            raise _Malformed(f"expected a logarithm, {order} words and perhaps a backoff weight")
        joined = b" ".join(lines)
        if b"\v" in joined or b"\f" in joined:  # of a word, to KenLM; in a text such a word is two
            raise _Malformed("a vertical tab or form feed, which ends words in a text, cannot be part of one")
        fields = joined.split()
        ends = np.cumsum(lengths)
        firsts = ends - lengths
        weighted = np.flatnonzero(lengths == order + 2)
        backoff = np.zeros(lengths.size)
        try:
            log10 = np.array([float(fields[i]) for i in firsts.tolist()])
            backoff[weighted] = [float(fields[i]) for i in (ends[weighted] - 1).tolist()]
        except ValueError as error:
            raise _Malformed(str(error)) from None
        if not (log10 <= 0.0).all() or not np.isfinite(backoff).all():
            raise _Malformed("a logarithm of a probability is 0 or less, and a backoff weight is finite")
        if order == 1:
            words = [fields[i + 1] for i in firsts.tolist()]
            if len(set(words)) < len(words) or not self.index.keys().isdisjoint(words):
                raise _Malformed(f"the word {words[-1].decode(errors='replace')!r} stands there twice")
            self.index.update(zip(words, count(len(self.index)), strict=False))
        known = np.fromiter(map(self.index.get, fields, repeat(NO_NGRAM)), np.int64, len(fields))
        places = firsts[:, None] + np.arange(1, order + 1)
        ids = known[places]
        if (ids == NO_NGRAM).any():
            word = fields[places[ids == NO_NGRAM][0]]
            raise _Malformed(f"{word.decode(errors='replace')!r} is not among the unigrams")
        section.ids.append(ids)
        section.log10.append(log10)
        section.backoff.append(backoff)

    def assembled(self, sections: list[_Section]) -> NgramModel:
        """A model of the n-grams read."""
        try:
            words = [word.decode("utf-8") for word in self.index]
        except UnicodeDecodeError:
            raise DataError(f"{self.name} has words that are not UTF-8: convert it to UTF-8") from None
        vocabulary = _vocabulary([word for word in words if word != BOS], self.name)
        # The file numbers <s> where it stands; in a model it comes last, as V.
        start = self.index.get(BOS.encode(), len(words))
        ids = np.arange(len(words) + 1)
        ids[start + 1 :] -= 1
        ids[start] = vocabulary.size
        rows = [section.rows(ids) for section in sections]
        levels = levels_from_rows(rows, vocabulary.size, self.name)
        return NgramModel(vocabulary, levels, f"{len(levels)}-gram model of the ARPA file {Path(self.name).name}")


def _vocabulary(words: list[str], name: str) -> Vocabulary:
    """The vocabulary of a file's unigrams."""
    if not words:
        raise DataError(f"{name} has no unigrams: give a model that predicts something")
    known = set(words)
    eos = None if EOS not in known else EOS if DEFAULT_EOS in known else DEFAULT_EOS
    unk = next((word for word in (UNK, UNK.upper()) if word in known), None)
    return Vocabulary("word", tuple(eos if eos and word == EOS else word for word in words), unk, eos)
