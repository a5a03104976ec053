"""Stopping in good order: a signal asks for it, and training ends where nothing is lost.

A preempted machine gives its processes a few seconds between SIGTERM and SIGKILL. The first signal is noted, and read
between two steps; the second stops at once.
"""

import contextlib
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn, Protocol, runtime_checkable

import jax

#: Exit code of a training run that was stopped and goes on with --resume: EX_TEMPFAIL of sysexits.h, "try again".
STOPPED = 75

#: What asks a process to stop; SIGHUP comes when its terminal is closed.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_SECOND = "a second one stops at once"


class Stopped(Exception):
    """Training was asked to stop and has; its message is one line that says where."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised as an interrupt is."""


@runtime_checkable
class Asker(Protocol):
    """A job of several processes, which stop together."""

    def ask_to_stop(self, signal_name: str) -> None:
        """Have all processes stop, this one included."""
        ...


class StopRequest:
    """Whether to stop, asked between two pieces of work: a check.

    The processes of a job make the same checks in the same order. When one of them is asked to stop, each says how many
    it has made, and waits at its next one until it hears at which all of them stop: the first that none has made yet.

    Attributes:
        signal: what asked for it, or None.
        nothing_to_lose: while True, a signal ends the process there and then, even amid a compilation; of a job, if
            that is so in all of its processes.
        job: the job that this process has joined; None if it is alone.
    """

    def __init__(self, say: Callable[[str], None] = lambda message: print(message, file=sys.stderr)) -> None:
        """Nobody has asked yet; ``say`` tells a person of it, in a line and from any thread."""
        self.signal: signal.Signals | None = None
        self.nothing_to_lose = False
        self.job: Asker | None = None
        self.say = say
        self._where = ""
        self._checks, self._halt = 0, math.inf
        self._agreeing = self._noticed = False
        self._changed = threading.Condition()

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop, or is one of a job that was."""
        return self.signal is not None

    def before(self, step: int) -> bool:
        """Whether to stop before a step of training; all processes of a job get the same answer at the same step."""
        if self._is_elsewhere() and not self._noticed:
            from jax.experimental import multihost_utils

            self._noticed = multihost_utils.reached_preemption_sync_point(step)
        return self._reached()

    def check(self, *_: object) -> None:
        """Leave a long computation, such as an evaluation between two windows, if asked to stop.

        Raises:
            Stopped: if so.
        """
        if self._reached():
            raise Stopped(f"stopped by {self.name}")

    @property
    def name(self) -> str:
        """What asked for it."""
        return "the machine's notice" if self.signal is None else self.signal.name + self._where

    def receive(self, received: signal.Signals) -> None:
        """Take a signal that this process was sent."""
        if self.job is not None:
            self.say(f"{received.name}: this job stops as soon as its step is done and saved; {_SECOND}")
            self.job.ask_to_stop(received.name)
            return
        self._halt, self.signal = 0, received
        if self.nothing_to_lose:
            self._end()
        self.say(f"{received.name}: stopping as soon as the step is done and saved; {_SECOND}")

    def asked_in(self, process: int, signal_name: str) -> tuple[int, bool]:
        """A process of the job was asked to stop: the checks made here, and whether there is nothing to lose."""
        with self._changed:
            self.signal = signal.Signals[signal_name]
            self._where = f" in process {process}"
            self._agreeing = True
            return self._checks, self.nothing_to_lose

    def halt_at(self, check: int | None) -> None:
        """Stop at that check; at once if None."""
        if check is None:
            self._end()
        with self._changed:
            self._halt, self._agreeing = check, False
            self._changed.notify_all()

    def _reached(self) -> bool:
        """Make a check."""
        if self._is_elsewhere():  # one of many must not leave what all are doing
            return self._noticed
        with self._changed:
            while self._agreeing:
                self._changed.wait()
            self._checks += 1
            return self._checks >= self._halt

    def _is_elsewhere(self) -> bool:
        """Whether this is a process of a job that was joined otherwise, whose notice of an end is jax's own."""
        return self.job is None and jax.process_count() > 1

    def _end(self) -> NoReturn:
        self.say(f"stopped by {self.name}; nothing was to be saved: run it again, with --resume if it was begun")
        leave_at_once(STOPPED)


_leaving = threading.Lock()


def leave_at_once(code: int, say: Callable[[], object] = lambda: None) -> NoReturn:
    """End the process, whatever its threads are doing; of several that call this, the first one's ``say`` is heard."""
    _leaving.acquire()
    say()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def stop_on_signals(say: Callable[[str], None], nothing_to_lose: bool = False) -> Iterator[StopRequest]:
    """A request that SIGTERM, SIGINT and SIGHUP make, while the block runs; ``say`` tells a person of it.

    A thread of its own takes the signals, so that it hears them while the main thread is amid a compilation. Outside
    the main thread no signals can be had, and the request is never made.
    """
    request = StopRequest(say)
    request.nothing_to_lose = nothing_to_lose
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)  # a signal must not wait for the thread
    watcher = threading.Thread(target=_watch, args=(ours, request), name="stop on signals", daemon=True)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
    before = {number: signal.signal(number, _leave_to_the_watcher) for number in heard}
    wakeup = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    watcher.start()
    try:
        yield request
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(theirs)  # the thread reads the end of the pipe
        watcher.join()
        os.close(ours)


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Raise ``Terminated`` for SIGTERM while the block runs, so that files being written are cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _leave_to_the_watcher(number: int, frame: FrameType | None) -> None:
    """Python runs this between two bytecodes of the main thread, which may be long after the signal."""


def _watch(pipe: int, request: StopRequest) -> None:
    signalled = False
    while received := os.read(pipe, 1):
        if received[0] not in SIGNALS:
            continue
        if signalled:
            os._exit(128 + received[0])
        signalled = True
        request.receive(signal.Signals(received[0]))
