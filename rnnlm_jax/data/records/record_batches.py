"""The batches of a text that is read as they are wanted: what a training loop takes, whoever makes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnnlm_jax.data.batching import Batch, checked_index, require_not_negative
from rnnlm_jax.data.records.batch_blocks import BatchBlock, BatchBlocks
from rnnlm_jax.data.records.pipeline import Pipeline


class RecordBatches:
    """Batches of blocks that a pipeline makes ahead of time; one that runs on from epoch to epoch.

    Args:
        blocks: where they come from.
        workers: processes that make them; 0: a thread of this one.
    """

    def __init__(self, blocks: BatchBlocks, workers: int) -> None:
        """Take both; nothing runs before the first batch is asked for."""
        self._blocks, self._workers = blocks, workers
        self._pipeline: Pipeline[BatchBlock] | None = None
        self._next = 0

    @property
    def carries_state(self) -> bool:
        """Whether a model's state goes from one batch to the next."""
        return self._blocks.carries_state

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return self._blocks.batches

    def epoch(self, epoch: int) -> RecordEpoch:
        """Return the batches of an epoch."""
        require_not_negative(epoch=epoch)
        return RecordEpoch(self, self._blocks, epoch)

    def next_block(self, number: int) -> BatchBlock:
        """Return a block, made ahead of time if it is the one after the last that was asked for."""
        if self._pipeline is None or number != self._next:
            self.close()
            self._pipeline, self._next = Pipeline(self._blocks, number, self._workers), number
        self._next += 1
        return next(self._pipeline)

    def close(self) -> None:
        """End the thread or the processes, if there are any."""
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None


class RecordEpoch:
    """One epoch of `RecordBatches`."""

    def __init__(self, batches: RecordBatches, blocks: BatchBlocks, epoch: int) -> None:
        """Take the place; `RecordBatches.epoch` makes it."""
        self._batches, self._blocks, self._epoch = batches, blocks, epoch

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._blocks.batches

    def __getitem__(self, i: int) -> Batch[np.ndarray]:
        """Return batch `i`, made here and now."""
        number = checked_index(i, len(self))
        return self._blocks.block(self._epoch, range(number, number + 1)).batches()[0]

    def __iter__(self) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches in order."""
        return self.after(0)

    def after(self, first: int) -> Iterator[Batch[np.ndarray]]:
        """Yield the batches after the `first` ones, made ahead of time."""
        blocks, batches_per_block = self._blocks.blocks, self._blocks.batches_per_block
        for block in range(first // batches_per_block, blocks):
            batches = self._batches.next_block(self._epoch * blocks + block).batches()
            yield from batches[max(first - block * batches_per_block, 0) :]
