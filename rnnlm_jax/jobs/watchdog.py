"""Report in one line when a job makes no progress for long. Nothing is ended: whoever reads the line decides."""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from rnnlm_jax.errors import warn

#: Automatic limits in seconds: this many times the slowest normal step, but at least so long; and for the first step,
#: which includes compilation.
TIMES, LEAST, FIRST = 10.0, 120.0, 900.0


class Watchdog:
    """Watches the main thread from another one, and shows a line when no step has ended for ``limit`` seconds.

    The line is repeated after two, four, eight … times that time, and another one says when work goes on. The limit is
    a given number of seconds, or ten times the slowest normal step, at least 120 s; a step that was reported is not
    normal. Before the first step has ended, which takes as long as its compilation, it is at least 900 s.

    Call ``ended`` after every step, and ``progress`` after every other piece of work, such as a window of an
    evaluation: neither waits, and each takes a few microseconds.
    """

    def __init__(
        self,
        limit: float | None,
        *,
        say: Callable[[str], None],
        doing: Callable[[], str],
        record: Path | None = None,
        first: float = FIRST,
        least: float = LEAST,
    ) -> None:
        """Start to watch the calling thread.

        Args:
            limit: seconds without progress until the first line; None: automatic.
            say: shows a one-line message; called from any thread.
            doing: says in words what the main thread does, such as "waits for the device".
            record: a file of JSON lines, to which each message is appended with its figures; None for no file.
            first: least limit before the first step has ended.
            least: least automatic limit.
        """
        self._given, self._say, self._doing, self._record = limit, say, doing, record
        self._first, self._least = first, least
        self._main = threading.get_ident()
        self._changed = threading.Condition()
        self._closed = False
        self._step: int | None = None
        self._slowest, self._lines = 0.0, 0
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    @property
    def limit(self) -> float:
        """Seconds without progress until the first line."""
        limit = max(self._least, TIMES * self._slowest) if self._given is None else self._given
        return limit if self._step is not None else max(limit, self._first)

    def ended(self, step: int, seconds: float) -> None:
        """Record that a step has ended.

        Args:
            step: its number.
            seconds: how long it took.
        """
        if self._step is not None and seconds < self.limit:
            self._slowest = max(self._slowest, seconds)
        reported = self._advance(step)
        if reported is not None:
            self._report(
                "goes on", f"step {step:,} has ended, the first for {reported:.0f} s: training goes on", reported
            )

    def progress(self) -> None:
        """Record that something other than a step has ended."""
        reported = self._advance(self._step)
        if reported is not None:
            self._report("goes on", f"work goes on after {reported:.0f} s", reported)

    def _advance(self, step: int | None) -> float | None:
        """Start to count again; return the seconds since the last progress if a line has reported them."""
        now = time.monotonic()
        with self._changed:
            reported = now - self._last if self._lines else None
            if self._step is None and step is not None:
                self._changed.notify()  # the thread sleeps until the limit of the first step
            self._step, self._last, self._lines = step, now, 0
        return reported

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                silent, due = time.monotonic() - self._last, self.limit * 2**self._lines
                if silent < due:
                    self._changed.wait(due - silent)
                    continue
                self._lines += 1
                message = self._message(silent)
                self._changed.release()  # the main thread must never wait for a terminal or a disk
                try:
                    self._report("stalled", message, silent)
                finally:
                    self._changed.acquire()

    def _message(self, seconds: float) -> str:
        doing, where = self._doing(), _place(self._main)
        at = f" ({where})" if where else ""
        if self._step is None:
            return f"the first step has not ended after {seconds:.0f} s: the main thread {doing}{at}"
        usual = f", and the slowest took {self._slowest:.3g} s" if self._slowest else ""
        return (
            f"no step has ended for {seconds:.0f} s (the last was {self._step:,}{usual}): the main thread {doing}{at}"
        )

    def _report(self, kind: str, message: str, seconds: float) -> None:
        """Show a line and append it to the file; a failure of either must not end the job."""
        process = f"process {jax.process_index()}: " if jax.process_count() > 1 else ""
        try:
            self._say(process + message)
            if self._record is not None:
                record: dict[str, Any] = {"kind": kind, "step": self._step, "seconds": round(seconds, 1)}
                with self._record.open("a") as file:
                    file.write(json.dumps(record | {"unix_time": round(time.time()), "message": message}) + "\n")
        except (OSError, ValueError) as error:
            self._record = None
            with contextlib.suppress(OSError, ValueError):  # standard error may be closed
                warn(f"the watchdog cannot report ({error}): training goes on")


def _place(thread: int) -> str:
    """Return where in this package a thread is, as ``training/loop.py:210 in _read_oldest``; empty if it is not."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    frame = sys._current_frames().get(thread)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(package + os.sep):
            return f"{os.path.relpath(path, package)}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""
