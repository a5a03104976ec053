"""Batches of a text on disk, made ahead of time, in the form that a training loop takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnnlm_jax.data.batching import Batch, checked_index, require_not_negative
from rnnlm_jax.data.records.batch_blocks import BatchBlock, BatchBlocks
from rnnlm_jax.data.records.pipeline import Pipeline


class RecordBatches:
    """Batches from blocks that a pipeline makes ahead of time; the pipeline continues from epoch to epoch.

    Args:
        blocks: source of the blocks.
        workers: number of worker processes; 0: a thread of this process.
    """

    def __init__(self, blocks: BatchBlocks, workers: int) -> None:
        """Keep the arguments; the pipeline starts with the first batch."""
        self._blocks, self._workers = blocks, workers
        self._pipeline: Pipeline[BatchBlock] | None = None
        self._next = 0

    @property
    def carries_state(self) -> bool:
        """Whether the model's state is carried from each batch to the next."""
        return self._blocks.carries_state

    def batch_count(self, epoch: int) -> int:
        """Return the number of batches in an epoch."""
        require_not_negative(epoch=epoch)
        return self._blocks.batch_count(epoch)

    def epoch(self, epoch: int) -> RecordEpoch:
        """Return the batches of an epoch."""
        require_not_negative(epoch=epoch)
        return RecordEpoch(self, self._blocks, epoch)

    def next_block(self, number: int) -> BatchBlock:
        """Return a block, made ahead of time if it follows the block of the last call."""
        if self._pipeline is None or number != self._next:
            self.close()
            self._pipeline, self._next = Pipeline(self._blocks, number, self._workers), number
        self._next += 1
        return next(self._pipeline)

    def close(self) -> None:
        """Stop the thread or the worker processes."""
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None


class RecordEpoch:
    """The batches of one epoch of `RecordBatches`."""

    def __init__(self, batches: RecordBatches, blocks: BatchBlocks, epoch: int) -> None:
        """Keep the arguments; call `RecordBatches.epoch` instead."""
        self._batches, self._blocks, self._epoch = batches, blocks, epoch

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._blocks.batch_count(self._epoch)

    def __getitem__(self, i: int) -> Batch[np.ndarray]:
        """Return batch `i`, made in this process."""
        number = checked_index(i, len(self))
        return self._blocks.block(self._epoch, range(number, number + 1)).batches()[0]

    def __iter__(self) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches in order."""
        return self.after(0)

    def after(self, first: int) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches from number `first` on, made ahead of time."""
        if first >= len(self):
            return
        blocks, epoch = self._blocks, self._epoch
        for block in range(blocks.block_of(epoch, first), blocks.blocks_per_epoch):
            batches = self._batches.next_block(epoch * blocks.blocks_per_epoch + block).batches()
            yield from batches[max(first - blocks.numbers(epoch, block).start, 0) :]
