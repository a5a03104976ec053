"""Stop a job without losing work: a signal asks for it, and training stops between two steps.

Cloud machines that are preempted send SIGTERM a few seconds before SIGKILL. The first signal is recorded and checked
between two steps; the second ends the process at once.
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

#: Exit code of a training run that was stopped and can be resumed: EX_TEMPFAIL of sysexits.h, "try again".
STOPPED = 75

#: Signals that ask a process to stop; SIGHUP is sent when its terminal is closed.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_SECOND = "a second one stops at once"


class Stopped(Exception):
    """Training has stopped because it was asked to; the message is one line that says where."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised like an interrupt."""


@runtime_checkable
class StoppableJob(Protocol):
    """A job whose processes stop together."""

    def ask_to_stop(self, signal_name: str) -> None:
        """Ask all processes to stop, this one included."""
        ...


class StopRequest:
    """A request to stop, which may be made at any time and is checked between two pieces of work.

    The processes of a job make the same checks in the same order. When one of them is asked to stop, each reports how
    many checks it has made, and waits at the next one until it learns at which check all of them stop: the first that
    none of them has made yet.

    Attributes:
        signal: the signal that made the request; None without a request.
        may_exit_at_once: while True, a signal ends the process immediately, even during a compilation, since no work
            would be lost; in a job, only if this is so in all processes.
        job: the job that this process has joined; None if it is alone.
        say: shows a one-line message; may be called from any thread.
    """

    def __init__(self, say: Callable[[str], None] = lambda message: print(message, file=sys.stderr)) -> None:
        """Start without a request."""
        self.signal: signal.Signals | None = None
        self.may_exit_at_once = False
        self.job: StoppableJob | None = None
        self.say = say
        self._where = ""
        self._checks, self._stop_at = 0, math.inf
        self._agreeing = self._noticed = False
        self._changed = threading.Condition()

    @property
    def asked(self) -> bool:
        """Whether this process, or another of its job, was asked to stop."""
        return self.signal is not None

    def before(self, step: int) -> bool:
        """Return whether to stop before a step of training; all processes of a job get the same answer."""
        if self._is_foreign_job() and not self._noticed:
            from jax.experimental import multihost_utils

            self._noticed = multihost_utils.reached_preemption_sync_point(step)
        return self._check()

    def check(self, *_: object) -> None:
        """Stop a long computation between two parts, such as windows of an evaluation.

        Raises:
            Stopped: if the process was asked to stop.
        """
        if self._check():
            raise Stopped(f"stopped by {self.name}")

    @property
    def name(self) -> str:
        """The origin of the request, for messages."""
        return "the machine's notice" if self.signal is None else self.signal.name + self._where

    def receive(self, received: signal.Signals) -> None:
        """Handle a signal that was sent to this process."""
        if self.job is not None:
            self.say(f"{received.name}: this job stops as soon as its step is done and saved; {_SECOND}")
            self.job.ask_to_stop(received.name)
            return
        self._stop_at, self.signal = 0, received
        if self.may_exit_at_once:
            self._exit()
        self.say(f"{received.name}: stopping as soon as the step is done and saved; {_SECOND}")

    def stop_requested(self, process: int, signal_name: str) -> tuple[int, bool]:
        """Record that a process of the job was asked to stop; see ``liveness.Listener``."""
        with self._changed:
            self.signal = signal.Signals[signal_name]
            self._where = f" in process {process}"
            self._agreeing = True
            return self._checks, self.may_exit_at_once

    def stop_at(self, check: int | None) -> None:
        """Stop at a check, by its number; at once if None."""
        if check is None:
            self._exit()
        with self._changed:
            self._stop_at, self._agreeing = check, False
            self._changed.notify_all()

    def _check(self) -> bool:
        """Count a check, and return whether to stop at it."""
        if self._is_foreign_job():  # one process must not stop alone
            return self._noticed
        with self._changed:
            while self._agreeing:
                self._changed.wait()
            self._checks += 1
            return self._checks >= self._stop_at

    def _is_foreign_job(self) -> bool:
        """Return whether the job was joined without this library, so that jax notices preemption."""
        return self.job is None and jax.process_count() > 1

    def _exit(self) -> NoReturn:
        self.say(f"stopped by {self.name}; nothing was to be saved: run it again, with `resume` if it was begun")
        leave_at_once(STOPPED)


_leaving = threading.Lock()


def leave_at_once(code: int, say: Callable[[], object] = lambda: None) -> NoReturn:
    """End the process, whatever its threads are doing; if several threads call this, only the first ``say`` runs."""
    _leaving.acquire()
    say()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def stop_on_signals(say: Callable[[str], None], may_exit_at_once: bool = False) -> Iterator[StopRequest]:
    """Yield a request to stop that SIGTERM, SIGINT and SIGHUP make during the block.

    A thread receives the signals, so that they take effect while the main thread is compiling. Outside the main thread,
    signals cannot be received, and the request is never made.

    Args:
        say: shows a one-line message; called from any thread.
        may_exit_at_once: the initial value of the request's attribute.
    """
    request = StopRequest(say)
    request.may_exit_at_once = may_exit_at_once
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)  # a signal must not wait for the thread
    watcher = threading.Thread(target=_watch, args=(ours, request), name="stop on signals", daemon=True)
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP
    before = {number: signal.signal(number, _leave_to_the_watcher) for number in handled}
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
    """Raise ``Terminated`` for SIGTERM during the block, so that unfinished files are deleted."""
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
    """Do nothing: Python runs this between two bytecodes of the main thread, which may be long after the signal."""


def _watch(pipe: int, request: StopRequest) -> None:
    signalled = False
    while received := os.read(pipe, 1):
        if received[0] not in SIGNALS:
            continue
        if signalled:
            os._exit(128 + received[0])
        signalled = True
        request.receive(signal.Signals(received[0]))
