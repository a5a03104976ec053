"""Read and encode records of a text, with their positions among its tokens and lines."""

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
    """Random access to the encoded records of a text, in any process."""

    records: TextRecords
    vocabulary: Vocabulary
    index: RecordIndex

    def read(self, numbers: np.ndarray) -> EncodedRecords:
        """Return the records with given numbers, which are ascending and distinct.

        Raises:
            DataError: the records cannot be read, or were changed since they were indexed.
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
    """Encoded records in ascending order, concatenated."""

    text: EncodedText  # the concatenated records
    first_lines: np.ndarray  # int64 [R], first line of each record in the whole text
    first_lines_here: np.ndarray  # int64 [R], the same in `text`
    first_tokens: np.ndarray  # int64 [R], first token of each record in the whole text
    first_tokens_here: np.ndarray  # int64 [R], the same in `text`

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Return tokens `start` to `stop - 1` of the whole text, int32; all their records must be here."""
        record = int(np.searchsorted(self.first_tokens, start, side="right")) - 1
        first = start - int(self.first_tokens[record]) + int(self.first_tokens_here[record])
        return self.text.tokens[first : first + stop - start]

    def lines(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Return the tokens of lines of the whole text, int32 `[n]` each; all their records must be here."""
        record = np.searchsorted(self.first_lines, numbers, side="right") - 1
        here = numbers - self.first_lines[record] + self.first_lines_here[record]
        starts, ends = _starts(np.diff(self.text.line_ends, prepend=0)), self.text.line_ends
        bounds = zip(starts[here].tolist(), ends[here].tolist(), strict=True)
        return [self.text.tokens[start:end] for start, end in bounds]


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Return the start of each of several consecutive pieces with given lengths."""
    return np.cumsum(lengths) - lengths
