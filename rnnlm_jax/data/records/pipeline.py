"""The elements of a random-access source one after the other, made ahead of time by a thread or by processes."""

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

#: Elements that wait ahead, in the process or for each worker: one in use, one ready.
AHEAD = 2
MOST_WORKERS = 256


@runtime_checkable
class Source(Protocol[Element]):
    """What can be read anywhere; it is pickled for the workers."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Element: ...


class Pipeline(Generic[Element]):
    """A running iterator over a source; `close` it, or its processes live as long as this one.

    Args:
        source: of elements that are tuples of arrays.
        first: the element to begin with.
        workers: processes that make elements; 0: a thread of this one. The elements and their order are the same.
    """

    def __init__(self, source: Source[Element], first: int, workers: int) -> None:
        """Lay the pipeline; it begins with the first element that is asked for."""
        import grain
        from absl import flags

        if not flags.FLAGS.is_parsed():  # grain's options of its own, which we leave as they are
            flags.FLAGS.mark_as_parsed()
        elements = grain.MapDataset.source(source)[first:]
        in_thread = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        in_worker = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # the worker's queue is its buffer
        ahead = elements.to_iter_dataset(in_worker if workers else in_thread)
        if workers:
            options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=AHEAD)
            ahead = ahead.mp_prefetch(options, worker_init_fn=_begin_worker)
        self._iterator: Any = iter(ahead)

    def __iter__(self) -> Iterator[Element]:
        """Yield the elements that are left."""
        return self

    def __next__(self) -> Element:
        """Return the next element, when it is there.

        Raises:
            DataError: what the source raised, or that a process was killed.
        """
        try:
            return next(self._iterator)
        except RuntimeError as error:  # grain's, of a worker that is gone
            reason = " ".join(str(error).split())[:100]
            raise DataError(f"the input has stopped ({reason}): try again, or with fewer --input-workers") from error

    def close(self) -> None:
        """End the thread or the processes."""
        self._iterator.close()


def _begin_worker(index: int, count: int) -> None:
    """Leave signals to the parent, which reads on until its step is saved, and end with it however it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # there are as many workers as are wanted
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
