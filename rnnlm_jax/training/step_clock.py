"""How long each step takes, on a device that is always some steps ahead of whoever asks."""

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax

Item = TypeVar("Item")


class StepTime(NamedTuple):
    """Of one step, in seconds; those of all steps add up to the time that training took."""

    seconds: float
    """To its end, from the end of the step before, or from when its batch was asked for if that was later."""
    waited: float
    """Of these, while there was no batch yet: the device had done all it was given."""


class _Begun(NamedTuple):
    asked: float
    given: float
    results: Any


class StepClock:
    """Watches the steps end from a thread of its own, so that nobody has to wait for one to time it.

    What validation or a checkpoint takes between two steps belongs to neither. Each step is begun by taking its batch
    out of ``over``, handed to ``watch`` once dispatched, and read back by ``next_time``, in the same order.
    """

    def __init__(self) -> None:
        """Nothing is watched yet; the thread begins with the first step."""
        self._begun: queue.SimpleQueue[_Begun | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[StepTime] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._asked = self._given = 0.0

    def over(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches themselves, the wait for each being noted."""
        iterator = iter(batches)
        while True:
            self._asked = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._given = time.perf_counter()
            yield batch

    def watch(self, results: Any) -> None:
        """The results of the step that has just been dispatched; they must not be donated."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="step clock", daemon=True)
            self._thread.start()
        self._begun.put(_Begun(self._asked, self._given, results))

    def next_time(self) -> StepTime:
        """Of the oldest step that was watched and not read yet, when it is done."""
        return self._done.get()

    def close(self, wait: bool = True) -> None:
        """End the thread when the steps under way are done, and ``wait`` for that: not for a process that is lost."""
        if self._thread is not None:
            self._begun.put(None)
            if wait:
                self._thread.join()
            self._thread = None

    def _run(self) -> None:
        last = 0.0
        while (step := self._begun.get()) is not None:
            with contextlib.suppress(Exception):  # of which whoever reads the results is told
                jax.block_until_ready(step.results)
            now, start = time.perf_counter(), max(last, step.asked)
            self._done.put(StepTime(now - start, max(step.given - start, 0.0)))
            last = now
