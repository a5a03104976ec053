"""Read the elements of a random-access source in order, ahead of time, in a thread or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import connection
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from rnnlm_jax.errors import DataError

Element = TypeVar("Element", covariant=True)

#: Elements buffered ahead, in the process or for each worker: one in use, one ready.
AHEAD = 2
MAX_WORKERS = 256


@runtime_checkable
class Source(Protocol[Element]):
    """A sequence of elements with random access, which can be pickled for workers."""

    def __len__(self) -> int:
        """Return the number of elements."""
        ...

    def __getitem__(self, index: int) -> Element:
        """Return an element."""
        ...


class Pipeline(Generic[Element]):
    """An iterator over a source that reads ahead; its processes run until `close` or the end of this process.

    Args:
        source: source whose elements are tuples of arrays.
        first: number of the first element.
        workers: number of worker processes; 0: a thread of this process. The elements and their order do not change.
    """

    def __init__(self, source: Source[Element], first: int, workers: int) -> None:
        """Build the pipeline; it starts with the first element."""
        import grain
        from absl import flags

        if not flags.FLAGS.is_parsed():  # grain's own flags, left at their defaults
            flags.FLAGS.mark_as_parsed()
        elements = grain.MapDataset.source(source)[first:]
        in_thread = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        in_worker = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # the worker's queue is the buffer
        ahead = elements.to_iter_dataset(in_worker if workers else in_thread)
        if workers:
            options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=AHEAD)
            ahead = ahead.mp_prefetch(options, worker_init_fn=_begin_worker)
        self._iterator: Any = iter(ahead)

    def __iter__(self) -> Iterator[Element]:
        """Return the iterator itself."""
        return self

    def __next__(self) -> Element:
        """Return the next element.

        Raises:
            DataError: the source failed, or a worker process was killed.
        """
        try:
            return next(self._iterator)
        except RuntimeError as error:  # raised by grain for a dead worker
            reason = " ".join(str(error).split())[:100]
            raise DataError(f"the input has stopped ({reason}): try again, or with fewer `input_workers`") from error

    def close(self) -> None:
        """Stop the thread or the worker processes."""
        self._iterator.close()


def _begin_worker(index: int, count: int) -> None:
    """Ignore signals, which the parent handles while it still reads batches, and exit when the parent does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers run in parallel already
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
