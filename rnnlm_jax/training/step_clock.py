"""Time each step, on devices that run several steps behind the host."""

import contextlib
import queue
import threading
import time
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple, TypeVar

import jax

Item = TypeVar("Item")


class StepTime(NamedTuple):
    """Times of one step, in seconds; the sum of ``seconds`` over all steps is the training time."""

    seconds: float
    """Time from the end of the step before, or from the request for its batch if that was later, to its end."""
    waited: float
    """Part of ``seconds`` in which the device was idle because the batch was not ready."""


class _Dispatched(NamedTuple):
    requested: float
    received: float
    results: Any


class StepClock:
    """Waits in a thread for steps to end, so that the training loop need not wait to time them.

    Time between two steps that validation or a checkpoint takes belongs to neither. For each step, in this order: take
    its batch from ``over``, call ``watch`` when it is dispatched, and read its time with ``next_time``.
    """

    def __init__(self) -> None:
        """Create the clock; its thread starts with the first step."""
        self._dispatched: queue.SimpleQueue[_Dispatched | None] = queue.SimpleQueue()
        self._times: queue.SimpleQueue[StepTime] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._requested = self._received = 0.0

    def over(self, batches: Iterable[Item]) -> Generator[Item]:
        """Yield the batches, and record the time that each takes to arrive."""
        iterator = iter(batches)
        while True:
            self._requested = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._received = time.perf_counter()
            yield batch

    def watch(self, results: Any) -> None:
        """Start to wait for the results of the step that has just been dispatched; they must not be donated."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="step clock", daemon=True)
            self._thread.start()
        self._dispatched.put(_Dispatched(self._requested, self._received, results))

    def next_time(self) -> StepTime:
        """Wait for the oldest step whose time was not read yet, and return its time."""
        return self._times.get()

    def close(self, *, wait: bool = True) -> None:
        """End the thread once the dispatched steps have ended; ``wait`` for that unless another process may be lost."""
        if self._thread is not None:
            self._dispatched.put(None)
            if wait:
                self._thread.join()
            self._thread = None

    def _run(self) -> None:
        last = 0.0
        while (step := self._dispatched.get()) is not None:
            with contextlib.suppress(Exception):  # raised again where the results are read
                jax.block_until_ready(step.results)
            now, start = time.perf_counter(), max(last, step.requested)
            self._times.put(StepTime(now - start, max(step.received - start, 0.0)))
            last = now
