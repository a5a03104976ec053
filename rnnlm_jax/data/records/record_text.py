"""A training text that stays on disk: its figures, and its batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data.batching import all_columns, require_not_negative, require_positive
from rnnlm_jax.data.corpora import Corpus
from rnnlm_jax.data.records.batch_blocks import SentenceBlocks, StreamBlocks
from rnnlm_jax.data.records.pipeline import MOST_WORKERS
from rnnlm_jax.data.records.record_batches import RecordBatches
from rnnlm_jax.data.records.record_index import open_index
from rnnlm_jax.data.records.record_reader import RecordReader
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.data.vocabulary_coverage import require_known
from rnnlm_jax.errors import DataError


@dataclass(frozen=True, eq=False)
class RecordText:
    """What an `EncodedText` tells of itself, without its tokens."""

    reader: RecordReader
    workers: int

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self.reader.index.tokens

    @property
    def oov(self) -> int:
        """Tokens that were not in the vocabulary."""
        return self.reader.index.oov

    @property
    def counts(self) -> np.ndarray:
        """How often each word of the vocabulary stands in the text, int64 `[V]`."""
        return self.reader.index.counts

    @property
    def digest(self) -> str:
        """That of the same text in memory, see `EncodedText`."""
        return self.reader.index.digest

    def describe_workers(self) -> str:
        """Return who reads it, as in `2 processes`."""
        return {0: "a thread", 1: "a process"}.get(self.workers, f"{self.workers} processes")

    def streams(
        self, batch_size: int, bptt: int, first_input: int = 0, columns: np.ndarray | None = None
    ) -> RecordBatches:
        """Return the batches that `StreamBatches` would make of the same text in memory, bit for bit."""
        require_positive(batch_size=batch_size, bptt=bptt)
        require_not_negative(first_input=first_input)
        blocks = StreamBlocks(self.reader, batch_size, bptt, first_input, all_columns(batch_size, columns))
        return RecordBatches(blocks, self.workers)

    def sentences(
        self, batch_size: int, *, seed: int = 0, first_input: int = 0, columns: np.ndarray | None = None
    ) -> RecordBatches:
        """Return the batches that `SentenceBatches` would make of the same text in memory, bit for bit."""
        require_positive(batch_size=batch_size)
        require_not_negative(seed=seed, first_input=first_input)
        blocks = SentenceBlocks(self.reader, batch_size, seed, first_input, all_columns(batch_size, columns))
        return RecordBatches(blocks, self.workers)


def open_text(
    corpus: Corpus, vocabulary: Vocabulary, workers: int, progress: Callable[[int], object] = lambda tokens: None
) -> RecordText:
    """Return the training text of a corpus, to be read as batches want it.

    Args:
        corpus: one of TFDS.
        vocabulary: that encodes it.
        workers: processes that read and encode; 0: a thread of this one.
        progress: told of tokens while the text is read for the first time, to be indexed.

    Raises:
        DataError: a number of workers that cannot be; the corpus has no records, they cannot be read, or nothing in
            them is in the vocabulary.
    """
    if not 0 <= workers <= MOST_WORKERS:
        raise DataError(f"--input-workers must be from 0 to {MOST_WORKERS}, not {workers}")
    records = corpus.records.get("train")
    if records is None:
        raise DataError(
            f"--input-workers reads data sets of TFDS record by record, and {corpus.name} is none: leave it out"
        )
    index = open_index(records, vocabulary, workers, progress)
    require_known(index.tokens, index.lines, index.oov, vocabulary, f"the train text of {corpus.name}")
    return RecordText(RecordReader(records, vocabulary, index), workers)
