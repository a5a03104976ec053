"""Reading ARPA files of any toolkit, plain or compressed."""

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

#: Default end-of-line token of this library's vocabularies of words.
DEFAULT_EOS = "<eos>"

#: Number of lines parsed at a time.
CHUNK = 2**13


def read_arpa(path: str | Path) -> NgramModel:
    """Read a model from an ARPA file of KenLM, SRILM or this library.

    The vocabulary consists of the file's unigrams, in order, without ``<s>``. ``</s>`` becomes the end-of-line token
    ``<eos>``, unless the file has a word of that name. The unknown token is ``<unk>`` or ``<UNK>``; without either,
    unknown words are errors. A file written by this library gives back its vocabulary. N-grams with ``<s>`` after
    their first word are never used, and left out.

    Raises:
        DataError: the file cannot be read, or is not well formed; the message names the line.
    """
    with open_input(path, "ARPA file") as file:
        return parse_arpa(file, str(path))


def parse_arpa(file: BinaryIO, name: str) -> NgramModel:
    """Read a model from an open ARPA file as ``read_arpa`` does; ``name`` is the file's name in error messages."""
    return _Parser(name, _lines(file, name)).model()


def is_arpa(beginning: bytes) -> bool:
    """Return whether the beginning of a file is that of an ARPA file: ``\\data\\`` is among its first lines."""
    lines = beginning.removeprefix(BYTE_ORDER_MARK).splitlines()
    return any(line.strip() == b"\\data\\" for line in lines)


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    lines = input_lines(file, name)
    yield next(lines, b"").removeprefix(BYTE_ORDER_MARK)
    yield from lines


class _Section:
    """The n-grams of one order in the order of the file, in pieces."""

    def __init__(self, order: int):
        """Begin with an empty piece, so that pieces can be concatenated."""
        self.ids = [np.zeros((0, order), np.int64)]
        self.log10 = [np.zeros(0)]
        self.backoff = [np.zeros(0)]

    def rows(self, token_ids: np.ndarray) -> NgramRows:
        """Return all pieces as rows, with the token id of each word's index and logarithms in nats."""
        log10, backoff = np.concatenate(self.log10), np.concatenate(self.backoff)
        return NgramRows(token_ids[np.concatenate(self.ids)], log10 * math.log(10.0), backoff * math.log(10.0))

    def __len__(self) -> int:
        """Return the number of n-grams."""
        return sum(map(len, self.log10))


class _Malformed(Exception):
    """A line that is not well formed, with the reason."""


class _Parser:
    """A pass through the lines of a file, with the number of the current line."""

    def __init__(self, name: str, lines: Iterator[bytes]):
        """Start before the first line."""
        self.name, self.lines = name, lines
        self.number = 0
        self.index: dict[bytes, int] = {}

    def fail(self, reason: str) -> NoReturn:
        """Raise an error that names the current line."""
        raise DataError(f"{self.name}, line {self.number}: {reason}; the ARPA file is not well formed")

    def next(self) -> bytes:
        """Return the next line that is not empty, stripped."""
        for raw in self.lines:
            self.number += 1
            if line := raw.strip():
                return line
        return self.fail("the file ends before \\end\\")

    def model(self) -> NgramModel:
        """Parse the file."""
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
                self.fail(f"expected \\{order}-grams: here")
            sections.append(self.section(order))
            line = self.next()
            found = len(sections[-1])
            if found != size:
                self.fail(f"there are {found:,} {order}-grams before this where {size:,} were declared")
        if line != b"\\end\\":
            self.fail("expected \\end\\ here")
        return self.assemble(sections)

    def section(self, order: int) -> _Section:
        """Parse the n-grams of one order, up to the line after them."""
        section = _Section(order)
        while lines := list(islice(self.lines, CHUNK)):
            # An n-gram begins with a number, so a backslash begins the next section, or the end.
            end = next((i for i, line in enumerate(lines) if line.lstrip()[:1] == b"\\"), len(lines))
            try:
                self.parse(lines[:end], order, section)
            except _Malformed:
                self.find_malformed_line(lines[:end], order)
            self.number += end
            if end < len(lines):
                self.lines = chain(lines[end:], self.lines)
                return section
        return section

    def find_malformed_line(self, lines: list[bytes], order: int) -> None:
        """Raise the error of the first of some lines that is not well formed."""
        for line in lines:
            self.number += 1
            try:
                self.parse([line], order, _Section(order))
            except _Malformed as error:
                self.fail(str(error))

    def parse(self, lines: list[bytes], order: int, section: _Section) -> None:
        """Add the n-grams of some lines to a section, or raise ``_Malformed`` and leave the section unchanged."""
        # One list of all fields: numbers and words are then found by position, not line by line.
        lengths = np.array([len(line.split()) for line in lines], np.int64)
        lengths = lengths[lengths > 0]
        if not np.isin(lengths, (order + 1, order + 2)).all():
            raise _Malformed(f"expected a logarithm, {order} words and perhaps a backoff weight")
        joined = b" ".join(lines)
        if b"\v" in joined or b"\f" in joined:  # part of a word for KenLM here, but a separator in texts
            raise _Malformed("a vertical tab or form feed, which separates words in a text, cannot be part of one")
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
                raise _Malformed(f"the word {words[-1].decode(errors='replace')!r} occurs twice")
            self.index.update(zip(words, count(len(self.index)), strict=False))
        known = np.fromiter(map(self.index.get, fields, repeat(NO_NGRAM)), np.int64, len(fields))
        positions = firsts[:, None] + np.arange(1, order + 1)
        ids = known[positions]
        if (ids == NO_NGRAM).any():
            word = fields[positions[ids == NO_NGRAM][0]]
            raise _Malformed(f"{word.decode(errors='replace')!r} is not among the unigrams")
        section.ids.append(ids)
        section.log10.append(log10)
        section.backoff.append(backoff)

    def assemble(self, sections: list[_Section]) -> NgramModel:
        """Return the model of the n-grams read."""
        try:
            words = [word.decode("utf-8") for word in self.index]
        except UnicodeDecodeError:
            raise DataError(f"{self.name} has words that are not UTF-8: convert it to UTF-8") from None
        vocabulary = _vocabulary([word for word in words if word != BOS], self.name)
        # In the file <s> may be anywhere among the unigrams; in a model its id is V.
        bos = self.index.get(BOS.encode(), len(words))
        ids = np.arange(len(words) + 1)
        ids[bos + 1 :] -= 1
        ids[bos] = vocabulary.size
        rows = [section.rows(ids) for section in sections]
        levels = levels_from_rows(rows, vocabulary.size, self.name)
        return NgramModel(vocabulary, levels, f"{len(levels)}-gram model of the ARPA file {Path(self.name).name}")


def _vocabulary(words: list[str], name: str) -> Vocabulary:
    """Return the vocabulary of a file's unigrams, ``<s>`` left out."""
    if not words:
        raise DataError(f"{name} has no unigrams besides <s>: give a model that predicts words")
    known = set(words)
    eos = None if EOS not in known else EOS if DEFAULT_EOS in known else DEFAULT_EOS
    unk = next((word for word in (UNK, UNK.upper()) if word in known), None)
    return Vocabulary("word", tuple(eos if eos and word == EOS else word for word in words), unk, eos)
