"""Stopping in good order: a signal asks for it, and training ends where nothing is lost.

A preempted machine gives its processes a few seconds between SIGTERM and SIGKILL. The first signal is noted, and read
between two steps; the second stops at once.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import jax

#: Exit code of a training run that was stopped and goes on with --resume: EX_TEMPFAIL of sysexits.h, "try again".
STOPPED = 75

#: What asks a process to stop; SIGHUP comes when its terminal is closed.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """Training was asked to stop and has; its message is one line that says where."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised as an interrupt is."""


class StopRequest:
    """Whether to stop, asked between two pieces of work.

    Attributes:
        signal: what asked for it, or None.
        nothing_to_lose: while True, a signal ends the process there and then, even amid a compilation.
        agreed: whether all processes of a job have agreed to stop.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.signal: signal.Signals | None = None
        self.nothing_to_lose = False
        self.agreed = False

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self.signal is not None

    def before(self, step: int) -> bool:
        """Whether to stop before a step of training; all processes of a job get the same answer at the same step."""
        if jax.process_count() == 1:
            return self.asked
        from jax.experimental import multihost_utils

        self.agreed = self.agreed or multihost_utils.reached_preemption_sync_point(step)
        return self.agreed

    def check(self, *_: object) -> None:
        """Leave a long computation, such as an evaluation between two windows, if asked to stop.

        Raises:
            Stopped: if so.
        """
        if self.agreed or (self.asked and jax.process_count() == 1):  # one of many must not leave what all are doing
            raise Stopped(f"stopped by {self.name}")

    @property
    def name(self) -> str:
        """What asked for it."""
        return "the machine's notice" if self.signal is None else self.signal.name


@contextlib.contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """A request that SIGTERM and SIGINT make, while the block runs; ``say`` tells a person of it.

    A thread of its own takes the signals, so that it hears them while the main thread is amid a compilation. Outside
    the main thread no signals can be had, and the request is never made.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)  # a signal must not wait for the thread
    watcher = threading.Thread(target=_watch, args=(ours, request, say), name="stop on signals", daemon=True)
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


def _watch(pipe: int, request: StopRequest, say: Callable[[str], None]) -> None:
    while received := os.read(pipe, 1):
        if received[0] not in SIGNALS:
            continue
        if request.asked:
            os._exit(128 + received[0])
        request.signal = signal.Signals(received[0])
        if request.nothing_to_lose:
            say(f"stopped by {request.name}; nothing was to be saved: run it again, with --resume if it was begun")
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(STOPPED)
        say(f"{request.name}: stopping as soon as the step is done and saved; a second one stops at once")
