"""Some records of a text, encoded, and which of the whole text's tokens and lines they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data.corpora.tfds_records import TextRecords
from rnnlm_jax.data.encoded_text import EncodedText
from rnnlm_jax.data.records.record_index import RecordIndex
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.errors import DataError


@dataclass(frozen=True, eq=False)
class RecordReader:
    """A text that is read where it is asked for, in any process."""

    records: TextRecords
    vocabulary: Vocabulary
    index: RecordIndex

    def read(self, numbers: np.ndarray) -> EncodedRecords:
        """Return some records, given by number, ascending, each once.

        Raises:
            DataError: they cannot be read, or are not what was indexed.
        """
        found = self.records.lines(numbers.tolist())
        text = self.vocabulary.encode(line for lines in found for line in lines)
        lines, after = self.index.first_lines(numbers), self.index.first_lines(numbers + 1)
        tokens, end = self.index.first_tokens(lines), self.index.first_tokens(after)
        if text.line_ends.size != (after - lines).sum() or text.tokens.size != (end - tokens).sum():
            raise DataError(f"the data set in {self.records.folder} was changed since it was indexed: start again")
        return EncodedRecords(text, lines, _starts(after - lines), tokens, _starts(end - tokens))


@dataclass(frozen=True, eq=False)
class EncodedRecords:
    """Encoded records, ascending, in one array."""

    text: EncodedText
    first_lines: np.ndarray  # of each record, in the whole text
    lines_here: np.ndarray  # the same here
    first_tokens: np.ndarray
    tokens_here: np.ndarray

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Return the tokens `start` to `stop` - 1 of the text, int32; their records are all here."""
        at = int(np.searchsorted(self.first_tokens, start, side="right")) - 1
        first = start - int(self.first_tokens[at]) + int(self.tokens_here[at])
        return self.text.tokens[first : first + stop - start]

    def lines(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Return the tokens of some lines of the text, int32 `[n]` each; their records are all here."""
        at = np.searchsorted(self.first_lines, numbers, side="right") - 1
        here = numbers - self.first_lines[at] + self.lines_here[at]
        starts, ends = _starts(np.diff(self.text.line_ends, prepend=0)), self.text.line_ends
        bounds = zip(starts[here].tolist(), ends[here].tolist(), strict=True)
        return [self.text.tokens[start:end] for start, end in bounds]


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Return where pieces of some lengths start, laid one after the other."""
    return np.cumsum(lengths) - lengths
