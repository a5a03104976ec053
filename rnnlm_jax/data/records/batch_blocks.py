"""Blocks of consecutive batches, made together because they read the same records: the workers' unit of work."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import numpy as np

from rnnlm_jax.data.batching import Batch
from rnnlm_jax.data.length_buckets import EpochOrder, LengthBuckets, pad_sentences
from rnnlm_jax.data.records.record_reader import RecordReader
from rnnlm_jax.data.windows import EpochWindows, RandomBptt

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
    blocks_per_epoch: int

    @abc.abstractmethod
    def batch_count(self, epoch: int) -> int:
        """Return the number of batches in an epoch."""

    @abc.abstractmethod
    def numbers(self, epoch: int, block: int) -> range:
        """Return the numbers of the batches in a block of an epoch, at least one."""

    @abc.abstractmethod
    def block_of(self, epoch: int, number: int) -> int:
        """Return the block of an epoch that has a batch."""

    def __len__(self) -> int:
        """Return the number of blocks of all epochs."""
        return self.blocks_per_epoch * EPOCHS

    def __getitem__(self, index: int) -> BatchBlock:
        """Return a block."""
        epoch, block = divmod(index, self.blocks_per_epoch)
        return self.block(epoch, self.numbers(epoch, block))

    @abc.abstractmethod
    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return the batches of an epoch with given numbers."""


class StreamBlocks(BatchBlocks):
    """Windows of contiguous streams; batches and arguments are those of `StreamBatches`.

    A block has the windows that end within a fixed stretch of the streams, which is not shorter than any window. So
    every epoch has the same number of blocks, none of them empty.
    """

    carries_state = True

    def __init__(
        self,
        reader: RecordReader,
        batch_size: int,
        bptt: int,
        *,
        first_input: int,
        columns: np.ndarray,
        random: RandomBptt | None = None,
        seed: int = 0,
    ) -> None:
        """Divide the text into streams."""
        self.reader, self.first_input, self.columns = reader, first_input, columns
        index = reader.index
        self.length = -(-index.tokens // batch_size)
        self.windows = EpochWindows(self.length, bptt, random, seed)
        longest = self.windows.padded_lengths[-1]
        steps = max(_STEPS, 2 * index.tokens // index.records)
        self.steps_per_block = longest * max(1, min(steps, _MAX_TOKENS // batch_size, self.length) // longest)
        self.blocks_per_epoch = -(-self.length // self.steps_per_block)

    def batch_count(self, epoch: int) -> int:
        """Return the number of windows in an epoch."""
        return len(self.windows.epoch(epoch))

    def numbers(self, epoch: int, block: int) -> range:
        """Return the numbers of the windows that end within the stretch of a block."""
        windows, start = self.windows.epoch(epoch), block * self.steps_per_block
        return range(windows.ended_by(start), windows.ended_by(start + self.steps_per_block))

    def block_of(self, epoch: int, number: int) -> int:
        """Return the block with a window."""
        end = int(self.windows.epoch(epoch).bounds(number, number + 1)[1])
        return (end - 1) // self.steps_per_block

    def block(self, epoch: int, numbers: range) -> BatchBlock:
        """Return the windows of an epoch with given numbers."""
        windows, index = self.windows.epoch(epoch), self.reader.index
        bounds = windows.bounds(numbers.start, numbers.stop)
        lengths = np.diff(bounds)
        padded = windows.padded(lengths)
        # The row of each step: consecutive in a window, with padding after it.
        rows = np.repeat(np.cumsum(padded - lengths) - (padded - lengths), lengths) + np.arange(lengths.sum())
        starts = np.minimum(self.columns * self.length + bounds[0], index.tokens)
        stops = np.minimum(self.columns * self.length + bounds[-1], index.tokens)
        before = np.maximum(starts - 1, 0)  # the input of a token is the token before it in the text
        inputs, targets = (np.zeros((padded.sum(), self.columns.size), np.int32) for _ in range(2))
        mask = np.zeros(inputs.shape, bool)
        used = np.flatnonzero(starts < stops)
        if used.size:
            low = index.records_of(index.lines_of(before[used]))
            high = index.records_of(index.lines_of(stops[used] - 1))
            encoded = self.reader.read(np.unique(np.concatenate(list(map(_inclusive_range, low, high)))))
            for b in used.tolist():
                tokens, n = encoded.tokens(before[b], stops[b]), stops[b] - starts[b]
                targets[rows[:n], b] = tokens[-n:]
                inputs[rows[:n], b] = tokens[:-1] if starts[b] else np.concatenate([[self.first_input], tokens[:-1]])
                mask[rows[:n], b] = True
        return BatchBlock(inputs, targets, mask, padded)


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
        self._batches = self._buckets.batch_count(batch_size)
        self._batches_per_block = min(self._batches, max(1, _SENTENCES // batch_size))
        self.blocks_per_epoch = -(-self._batches // self._batches_per_block)

    def batch_count(self, epoch: int) -> int:
        """Return the number of batches in an epoch, the same for each."""
        del epoch
        return self._batches

    def numbers(self, epoch: int, block: int) -> range:
        """Return the numbers of the batches in a block; the last block may have fewer than the others."""
        del epoch
        first = block * self._batches_per_block
        return range(first, min(first + self._batches_per_block, self._batches))

    def block_of(self, epoch: int, number: int) -> int:
        """Return the block with a batch."""
        del epoch
        return number // self._batches_per_block

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
