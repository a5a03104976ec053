"""Batches that are made together, since what they read overlaps or lies together: the unit of work of the input."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.data.batching import Batch
from rnnlm_jax.data.length_buckets import EpochOrder, LengthBuckets, pad_sentences
from rnnlm_jax.data.records.record_reader import RecordReader

EPOCHS = 2**32
"""A source of blocks holds so many epochs one after the other, so that workers are started once a run."""

_STEPS = 1024  # of a stream, or more where records are long, that make a block
_MOST_TOKENS = 2**22  # of a block, whatever the length of records
_SENTENCES = 4096  # of a block


class BatchBlock(NamedTuple):
    """Batches one after the other in time: `[ΣT, B]`, and how long each is."""

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    lengths: np.ndarray

    def batches(self) -> list[Batch[np.ndarray]]:
        """Return them one by one, in memory of this process."""
        ends = np.cumsum(self.lengths)
        parts = [np.array(part) for part in self[:3]]  # what a worker made lies in memory that is taken back
        bounds = zip((ends - self.lengths).tolist(), ends.tolist(), strict=True)
        return [Batch(*(part[start:end] for part in parts)) for start, end in bounds]


class BatchBlocks(abc.ABC):
    """The batches of all epochs as blocks, at random access: block `i` of epoch `e` is number `e · blocks + i`."""

    carries_state: bool
    batches: int
    """An epoch."""
    batches_per_block: int
    """Batches of a block; the last one of an epoch may have fewer."""

    @property
    def blocks(self) -> int:
        """An epoch."""
        return -(-self.batches // self.batches_per_block)

    def __len__(self) -> int:
        """Return the number of blocks of all epochs."""
        return self.blocks * EPOCHS

    def __getitem__(self, index: int) -> BatchBlock:
        """Return a block."""
        epoch, block = divmod(index, self.blocks)
        return self.block(
            epoch, range(block * self.batches_per_block, min((block + 1) * self.batches_per_block, self.batches))
        )

    @abc.abstractmethod
    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return some batches of an epoch."""


class StreamBlocks(BatchBlocks):
    """Windows of contiguous streams, as `StreamBatches` has them; arguments are its own, `columns` those to lay out."""

    carries_state = True

    def __init__(self, reader: RecordReader, batch_size: int, bptt: int, first_input: int, columns: np.ndarray) -> None:
        """Divide the text among streams."""
        self.reader, self.bptt, self.first_input = reader, bptt, first_input
        self.columns = columns
        index = reader.index
        self.length = -(-index.tokens // batch_size)
        self.batches = -(-self.length // bptt)
        steps = max(_STEPS, 2 * index.tokens // index.records)
        self.batches_per_block = min(self.batches, max(1, min(steps, _MOST_TOKENS // batch_size) // bptt))

    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return some windows, which are the same in every epoch."""
        index, first, steps = self.reader.index, numbers.start * self.bptt, len(numbers) * self.bptt
        starts = np.minimum(self.columns * self.length + first, index.tokens)
        stops = np.minimum(np.minimum(starts + steps, (self.columns + 1) * self.length), index.tokens)
        before = np.maximum(starts - 1, 0)  # each token's input is the one before it in the text
        inputs, targets = (np.zeros((steps, self.columns.size), np.int32) for _ in range(2))
        mask = np.zeros((steps, self.columns.size), bool)
        used = np.flatnonzero(starts < stops)
        if used.size:
            low = index.records_of(index.lines_of(before[used]))
            high = index.records_of(index.lines_of(stops[used] - 1))
            piece = self.reader.read(np.unique(np.concatenate(list(map(_up_to, low, high)))))
            for b in used.tolist():
                tokens, n = piece.tokens(before[b], stops[b]), stops[b] - starts[b]
                targets[:n, b] = tokens[-n:]
                inputs[:n, b] = tokens[:-1] if starts[b] else np.concatenate([[self.first_input], tokens[:-1]])
                mask[:n, b] = True
        return BatchBlock(inputs, targets, mask, np.full(len(numbers), self.bptt))


class SentenceBlocks(BatchBlocks):
    """Shuffled sentences by padded length, as `SentenceBatches` has them; arguments are its own."""

    carries_state = False

    def __init__(self, reader: RecordReader, batch_size: int, seed: int, first_input: int, columns: np.ndarray) -> None:
        """Sort the sentences by padded length."""
        self.reader, self.batch_size, self.seed, self.first_input = reader, batch_size, seed, first_input
        self.columns = columns
        self._buckets: LengthBuckets | None = LengthBuckets(reader.index.line_ends)
        self._order: tuple[int, EpochOrder] | None = None
        self.batches = self._buckets.count(batch_size)
        self.batches_per_block = min(self.batches, max(1, _SENTENCES // batch_size))

    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return some batches of an epoch."""
        order = self._order_of(epoch)
        lengths, chosen = [], []
        for number in numbers:
            length, lines = order[number]
            lengths.append(length)
            chosen.append(lines[self.columns[self.columns < lines.size]].astype(np.int64))
        every = np.concatenate(chosen)
        sentences = self.reader.read(np.unique(self.reader.index.records_of(every))).lines(every) if every.size else []
        parts, first = [], 0
        for length, lines in zip(lengths, chosen, strict=True):
            mine = sentences[first : first + lines.size]
            parts.append(pad_sentences(mine, self.columns.size, length, self.first_input))
            first += lines.size
        inputs, targets, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
        return BatchBlock(inputs, targets, mask, np.array(lengths))

    def _order_of(self, epoch: int) -> EpochOrder:
        """Return the order of an epoch; the last one is kept, four bytes a sentence."""
        if self._buckets is None:
            self._buckets = LengthBuckets(self.reader.index.line_ends)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._buckets.order(self.seed, epoch, self.batch_size)
        return self._order[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process cannot find out for itself."""
        return self.__dict__ | {"_buckets": None, "_order": None}


def _up_to(low: int, high: int) -> np.ndarray:
    return np.arange(low, high + 1)
