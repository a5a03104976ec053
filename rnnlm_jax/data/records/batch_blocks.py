"""Blocks of consecutive batches, made together because they read the same records: the workers' unit of work."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.data.batching import Batch
from rnnlm_jax.data.length_buckets import EpochOrder, LengthBuckets, pad_sentences
from rnnlm_jax.data.records.record_reader import RecordReader

EPOCHS = 2**32
"""Number of epochs in a source of blocks, so many that workers are started once in a run."""

_STEPS = 1024  # steps of a stream in a block; more if records are long
_MAX_TOKENS = 2**22  # tokens in a block
_SENTENCES = 4096  # sentences in a block


class BatchBlock(NamedTuple):
    """Consecutive batches, concatenated over time."""

    inputs: np.ndarray  # int32 [ΣT, B]
    targets: np.ndarray  # int32 [ΣT, B]
    mask: np.ndarray  # bool [ΣT, B]
    lengths: np.ndarray  # int, T of each batch

    def batches(self) -> list[Batch[np.ndarray]]:
        """Return the batches, copied to memory of this process."""
        ends = np.cumsum(self.lengths)
        parts = [np.array(part) for part in self[:3]]  # shared memory of a worker is reused
        bounds = zip((ends - self.lengths).tolist(), ends.tolist(), strict=True)
        return [Batch(*(part[start:end] for part in parts)) for start, end in bounds]


class BatchBlocks(abc.ABC):
    """Blocks of all epochs with random access: block `i` of epoch `e` is number `e · blocks_per_epoch + i`."""

    carries_state: bool
    batches_per_epoch: int
    batches_per_block: int
    """Batches in a block; the last block of an epoch may have fewer."""

    @property
    def blocks_per_epoch(self) -> int:
        """The number of blocks in an epoch."""
        return -(-self.batches_per_epoch // self.batches_per_block)

    def __len__(self) -> int:
        """Return the number of blocks of all epochs."""
        return self.blocks_per_epoch * EPOCHS

    def __getitem__(self, index: int) -> BatchBlock:
        """Return a block."""
        epoch, block = divmod(index, self.blocks_per_epoch)
        first = block * self.batches_per_block
        return self.block(epoch, range(first, min(first + self.batches_per_block, self.batches_per_epoch)))

    @abc.abstractmethod
    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return the batches of an epoch with given numbers."""


class StreamBlocks(BatchBlocks):
    """Windows of contiguous streams; batches and arguments are those of `StreamBatches`."""

    carries_state = True

    def __init__(
        self, reader: RecordReader, batch_size: int, bptt: int, *, first_input: int, columns: np.ndarray
    ) -> None:
        """Divide the text into streams."""
        self.reader, self.bptt, self.first_input = reader, bptt, first_input
        self.columns = columns
        index = reader.index
        self.length = -(-index.tokens // batch_size)
        self.batches_per_epoch = -(-self.length // bptt)
        steps = max(_STEPS, 2 * index.tokens // index.records)
        self.batches_per_block = min(self.batches_per_epoch, max(1, min(steps, _MAX_TOKENS // batch_size) // bptt))

    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return the windows with given numbers, the same in every epoch."""
        index, first, steps = self.reader.index, numbers.start * self.bptt, len(numbers) * self.bptt
        starts = np.minimum(self.columns * self.length + first, index.tokens)
        stops = np.minimum(np.minimum(starts + steps, (self.columns + 1) * self.length), index.tokens)
        before = np.maximum(starts - 1, 0)  # the input of a token is the token before it in the text
        inputs, targets = (np.zeros((steps, self.columns.size), np.int32) for _ in range(2))
        mask = np.zeros((steps, self.columns.size), bool)
        used = np.flatnonzero(starts < stops)
        if used.size:
            low = index.records_of(index.lines_of(before[used]))
            high = index.records_of(index.lines_of(stops[used] - 1))
            encoded = self.reader.read(np.unique(np.concatenate(list(map(_inclusive_range, low, high)))))
            for b in used.tolist():
                tokens, n = encoded.tokens(before[b], stops[b]), stops[b] - starts[b]
                targets[:n, b] = tokens[-n:]
                inputs[:n, b] = tokens[:-1] if starts[b] else np.concatenate([[self.first_input], tokens[:-1]])
                mask[:n, b] = True
        return BatchBlock(inputs, targets, mask, np.full(len(numbers), self.bptt))


class SentenceBlocks(BatchBlocks):
    """Shuffled sentences by padded length; batches and arguments are those of `SentenceBatches`."""

    carries_state = False

    def __init__(
        self, reader: RecordReader, batch_size: int, seed: int, *, first_input: int, columns: np.ndarray
    ) -> None:
        """Group the sentences by padded length."""
        self.reader, self.batch_size, self.seed, self.first_input = reader, batch_size, seed, first_input
        self.columns = columns
        self._buckets: LengthBuckets | None = LengthBuckets(reader.index.line_ends)
        self._order: tuple[int, EpochOrder] | None = None
        self.batches_per_epoch = self._buckets.batch_count(batch_size)
        self.batches_per_block = min(self.batches_per_epoch, max(1, _SENTENCES // batch_size))

    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return the batches of an epoch with given numbers."""
        order = self._order_of(epoch)
        lengths, chosen = [], []
        for number in numbers:
            length, lines = order[number]
            lengths.append(length)
            chosen.append(lines[self.columns[self.columns < lines.size]].astype(np.int64))
        all_lines = np.concatenate(chosen)
        sentences = []
        if all_lines.size:
            records = np.unique(self.reader.index.records_of(all_lines))
            sentences = self.reader.read(records).lines(all_lines)
        parts, first = [], 0
        for length, lines in zip(lengths, chosen, strict=True):
            rows = sentences[first : first + lines.size]
            parts.append(pad_sentences(rows, self.columns.size, length, first_input=self.first_input))
            first += lines.size
        inputs, targets, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
        return BatchBlock(inputs, targets, mask, np.array(lengths))

    def _order_of(self, epoch: int) -> EpochOrder:
        """Return the order of an epoch; the last one is kept, which takes four bytes a sentence."""
        if self._buckets is None:
            self._buckets = LengthBuckets(self.reader.index.line_ends)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._buckets.order(self.seed, epoch, self.batch_size)
        return self._order[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without what another process can compute itself."""
        return self.__dict__ | {"_buckets": None, "_order": None}


def _inclusive_range(low: int, high: int) -> np.ndarray:
    return np.arange(low, high + 1)
