"""The connection of a process to process 0 of its job."""

import socket
import threading
import time
from typing import NamedTuple, NoReturn, Protocol, runtime_checkable

from rnnlm_jax.errors import DeviceError
from rnnlm_jax.jobs.liveness.connection import Connection, Silence, beat_seconds


class Timeouts(NamedTuple):
    """How long to wait for other processes, in seconds."""

    start_timeout: float = 300.0
    """Time until all processes have joined."""
    partner_timeout: float = 60.0
    """Time without a message after which a process is lost."""


@runtime_checkable
class Listener(Protocol):
    """Receives what the processes of a job agree on; see ``StopRequest``."""

    def stop_requested(self, process: int, signal_name: str) -> tuple[int, bool]:
        """Record that a process was asked to stop; until ``stop_at`` is called, the next check waits.

        Args:
            process: the process that was asked.
            signal_name: the signal, such as "SIGTERM".

        Returns:
            The number of checks made in this process, and whether it may exit at once.
        """
        ...

    def stop_at(self, check: int | None) -> None:
        """Stop at a check, by its number, the same in all processes; at once if None, as all of them may exit."""
        ...


class LostFn(Protocol):
    """Ends this process because another one is lost."""

    def __call__(self, process: int, reason: str) -> NoReturn:
        """End this process; called from a background thread.

        Args:
            process: the process that is lost.
            reason: the reason, for the message.
        """
        ...


class Member:
    """A process that has joined a job; ``join_processes`` makes it."""

    def __init__(self, connection: Connection, timeouts: Timeouts, *, listener: Listener, lost: LostFn) -> None:
        """Start the threads that listen and send heartbeats."""
        self._connection, self._timeouts, self._listener, self._lost = connection, timeouts, listener, lost
        self._silence = Silence()
        self._all_done = threading.Event()
        for target in (self._listen, self._watch):
            threading.Thread(target=target, name="member", daemon=True).start()

    def ask_to_stop(self, signal_name: str) -> None:
        """Ask all processes to stop together."""
        self._connection.send(stop=signal_name)

    def leave(self) -> None:
        """Wait until every process has called this; afterwards none can be lost."""
        self._connection.send(done=True)
        self._all_done.wait()

    def fail(self) -> None:
        """Report to the others that this process ends because of an error."""
        self._connection.send(failed=True)

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            self._silence.reset()
            if "stop" in message:
                checks, may_exit = self._listener.stop_requested(message["by"], message["stop"])
                self._connection.send(checks=checks, may_exit_at_once=may_exit)
            elif "halt" in message:
                self._listener.stop_at(message["halt"])
            elif "lost" in message:
                self._lost(message["lost"], message["reason"])
            elif "done" in message:
                self._all_done.set()
                self._connection.release()
                return
        self._lost(0, "its connection is closed")

    def _watch(self) -> None:
        timeout = self._timeouts.partner_timeout
        pause, last = beat_seconds(timeout), time.monotonic()
        while not self._all_done.wait(pause):
            now = time.monotonic()
            self._silence.add(now - last)
            last = now
            if self._silence.seconds > timeout:
                self._lost(0, silent_reason(timeout))
            self._connection.send(beat=True)


def silent_reason(seconds: float) -> str:
    """Return why a process is lost that has sent nothing for some seconds."""
    return f"not heard of for {seconds:g} s, `partner_timeout`"


def join_processes(
    address: tuple[str, int], process: int, processes: int, *, timeouts: Timeouts, listener: Listener, lost: LostFn
) -> Member:
    """Connect to process 0, and wait until all processes have connected.

    Args:
        address: host and port of process 0.
        process: the index of this process, from 0.
        processes: the number of processes.
        timeouts: how long to wait for other processes.
        listener: receives requests to stop.
        lost: ends this process if another one is lost.

    Raises:
        DeviceError: if process 0 or another process does not join in time, or process 0 refuses this one.
    """
    where = f"{address[0]}:{address[1]}"
    deadline = time.monotonic() + timeouts.start_timeout
    connection = None
    while connection is None:
        try:
            connection = Connection(socket.create_connection(address, timeout=max(deadline - time.monotonic(), 1)))
        except OSError as error:
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"no process 0 answers at {where} ({error.strerror or error}) within {timeouts.start_timeout:g} s "
                    f"(`start_timeout`): {_REMEDY}"
                ) from error
            time.sleep(min(0.2, timeouts.start_timeout / 5))
    connection.send(hello=process, processes=processes)
    connection.socket.settimeout(max(deadline - time.monotonic(), 0) + 5)  # process 0 reports missing ones before that
    message = connection.receive()
    if message is None:
        raise DeviceError(f"process 0 at {where} has ended, or is not one of this job: {_REMEDY}")
    if "welcome" not in message:
        connection.release()
        raise DeviceError(f"cannot join the other processes ({message.get('refused')}): {_REMEDY}")
    connection.socket.settimeout(None)
    return Member(connection, timeouts, listener=listener, lost=lost)


_REMEDY = (
    "give every process the same `coordinator` HOST:PORT and number of `processes` N, and a `process_id` from 0 to "
    "N-1, or switch `distributed` off to train in this process alone"
)
