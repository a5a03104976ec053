"""A training text that stays on disk: its statistics and batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnlm_jax.data.batching import require_not_negative, require_positive, selected_columns
from rnnlm_jax.data.corpora.corpus import Corpus
from rnnlm_jax.data.records.batch_blocks import SentenceBlocks, StreamBlocks
from rnnlm_jax.data.records.pipeline import MAX_WORKERS
from rnnlm_jax.data.records.record_batches import RecordBatches
from rnnlm_jax.data.records.record_index import open_index
from rnnlm_jax.data.records.record_reader import RecordReader
from rnnlm_jax.data.vocabulary import Vocabulary
from rnnlm_jax.data.vocabulary_coverage import require_known
from rnnlm_jax.data.windows import RandomBptt
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.system.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class RecordText:
    """Statistics of a text as in `EncodedText`, and its batches, without keeping its tokens in memory."""

    reader: RecordReader
    workers: int

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self.reader.index.tokens

    @property
    def oov(self) -> int:
        """The number of tokens that were not in the vocabulary."""
        return self.reader.index.oov

    @property
    def counts(self) -> np.ndarray:
        """The count of each type of the vocabulary in the text, int64 `[V]`."""
        return self.reader.index.counts

    @property
    def digest(self) -> str:
        """The digest of the text, equal to that of the same text in memory, see `EncodedText`."""
        return self.reader.index.digest

    def describe_workers(self) -> str:
        """Return a description of the readers: `2 processes`."""
        return {0: "a thread", 1: "a process"}.get(self.workers, f"{self.workers} processes")

    def streams(
        self,
        batch_size: int,
        bptt: int,
        *,
        first_input: int = 0,
        columns: np.ndarray | None = None,
        random: RandomBptt | None = None,
        seed: int = 0,
    ) -> RecordBatches:
        """Return the batches of `StreamBatches` of the same text in memory, bit for bit."""
        require_positive(batch_size=batch_size, bptt=bptt)
        require_not_negative(first_input=first_input, seed=seed)
        columns = selected_columns(batch_size, columns)
        options = {"first_input": first_input, "columns": columns, "random": random, "seed": seed}
        blocks = StreamBlocks(self.reader, batch_size, bptt, **options)
        return RecordBatches(blocks, self.workers)

    def sentences(
        self, batch_size: int, *, seed: int = 0, first_input: int = 0, columns: np.ndarray | None = None
    ) -> RecordBatches:
        """Return the batches of `SentenceBatches` of the same text in memory, bit for bit."""
        require_positive(batch_size=batch_size)
        require_not_negative(seed=seed, first_input=first_input)
        columns = selected_columns(batch_size, columns)
        blocks = SentenceBlocks(self.reader, batch_size, seed, first_input=first_input, columns=columns)
        return RecordBatches(blocks, self.workers)


def open_text(
    corpus: Corpus, vocabulary: Vocabulary, input_workers: int, *, progress: Progress = no_progress
) -> RecordText:
    """Return the training text of a corpus, to be read on demand.

    Args:
        corpus: corpus of a TFDS data set.
        vocabulary: vocabulary that encodes the text.
        input_workers: number of processes that read and encode; 0: a thread of this process.
        progress: called with numbers of tokens while the text is indexed, which happens once.

    Raises:
        ArgumentError: `input_workers` is out of range, or the corpus has no records.
        DataError: the records cannot be read, or no token of them is in the vocabulary.
    """
    if not 0 <= input_workers <= MAX_WORKERS:
        raise ArgumentError(f"`input_workers` must be from 0 to {MAX_WORKERS}, not {input_workers}")
    records = corpus.records.get("train")
    if records is None:
        raise ArgumentError(
            f"`input_workers` reads TFDS data sets record by record, and {corpus.name} is not one: leave it out"
        )
    index = open_index(records, vocabulary, input_workers, progress=progress)
    require_known(index.tokens, index.lines, index.oov, vocabulary, name=f"the train text of {corpus.name}")
    return RecordText(RecordReader(records, vocabulary, index), input_workers)
