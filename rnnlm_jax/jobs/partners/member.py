"""The part of every process of a job: its connection to process 0."""

import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.partners.connection import Connection, Silence, beat_seconds


class Limits(NamedTuple):
    """How long to wait for other processes."""

    start_seconds: float = 300.0
    """Until all have come."""
    silent_seconds: float = 60.0
    """Until one that is not heard of is taken for lost."""


@runtime_checkable
class Listener(Protocol):
    """Is told by a ``Member`` what the processes of the job agree on."""

    def asked_in(self, process: int, signal_name: str) -> tuple[int, bool]:
        """A process was asked to stop: return how many checks were made here, and whether there is nothing to lose.

        Until ``halt_at`` is called, the next check waits.
        """
        ...

    def halt_at(self, check: int | None) -> None:
        """Stop at that check, which is the same in all processes; at once if None: no process has anything to lose."""
        ...


#: ``(process, reason)``: called from a thread when a process is lost. It must not return.
LostFn = Callable[[int, str], None]


class Member:
    """A process that has joined a job."""

    def __init__(self, connection: Connection, limits: Limits, listener: Listener, lost: LostFn) -> None:
        """Begin to listen, in threads of its own; ``join_partners`` makes one."""
        self._connection, self._limits, self._listener, self._lost = connection, limits, listener, lost
        self._silence = Silence()
        self._all_done = threading.Event()
        for target in (self._listen, self._watch):
            threading.Thread(target=target, name="member", daemon=True).start()

    def ask_to_stop(self, signal_name: str) -> None:
        """Have all processes stop together."""
        self._connection.send(stop=signal_name)

    def leave(self) -> None:
        """Return when every process has come here; none is waited for or missed afterwards."""
        self._connection.send(done=True)
        self._all_done.wait()

    def fail(self) -> None:
        """Tell the others that this process ends alone."""
        self._connection.send(failed=True)

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            self._silence.heard()
            if "stop" in message:
                checks, free = self._listener.asked_in(message["by"], message["stop"])
                self._connection.send(checks=checks, nothing_to_lose=free)
            elif "halt" in message:
                self._listener.halt_at(message["halt"])
            elif "lost" in message:
                self._lost(message["lost"], message["reason"])
            elif "done" in message:
                self._all_done.set()
                self._connection.release()
                return
        self._lost(0, "its connection is closed")

    def _watch(self) -> None:
        pause, last = beat_seconds(self._limits.silent_seconds), time.monotonic()
        while not self._all_done.wait(pause):
            now = time.monotonic()
            self._silence.waited(now - last)
            last = now
            if self._silence.seconds > self._limits.silent_seconds:
                self._lost(0, f"not heard of for {self._limits.silent_seconds:g} s, --partner-timeout")
            self._connection.send(beat=True)


def join_partners(
    host: str, port: int, process: int, processes: int, limits: Limits, listener: Listener, lost: LostFn
) -> Member:
    """Connect to process 0, and return when all processes have.

    Args:
        host: of process 0.
        port: of the job.
        process: which this is, from 0.
        processes: how many there are.
        limits: on waiting.
        listener: told of requests to stop.
        lost: called when a process is lost.

    Raises:
        UserError: if process 0 does not answer in time, or refuses, or another process does not come in time.
    """
    deadline = time.monotonic() + limits.start_seconds
    connection, reason = None, ""
    while connection is None:
        try:
            connection = Connection(socket.create_connection((host, port), timeout=max(deadline - time.monotonic(), 1)))
        except OSError as error:
            reason = error.strerror or str(error)
            if time.monotonic() > deadline:
                raise UserError(
                    f"no process 0 answers at {host}:{port} ({reason}) within {limits.start_seconds:g} s "
                    f"(--start-timeout): {_HOW}"
                ) from error
            time.sleep(min(0.2, limits.start_seconds / 5))
    connection.send(hello=process, processes=processes)
    connection.socket.settimeout(max(deadline - time.monotonic(), 0) + 5)  # process 0 says first who is missing
    message = connection.receive()
    if message is None:
        raise UserError(f"process 0 at {host}:{port} has ended, or is not one of this job: {_HOW}")
    if "welcome" not in message:
        connection.release()
        raise UserError(f"cannot join the other processes ({message.get('refused')}): {_HOW}")
    connection.socket.settimeout(None)
    return Member(connection, limits, listener, lost)


_HOW = (
    "give the same --coordinator HOST:PORT and --processes N, and --process-id I from 0 to N-1, to every one of them, "
    "or --no-distributed to train in this one alone"
)
