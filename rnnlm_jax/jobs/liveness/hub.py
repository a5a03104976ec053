"""The part of process 0: which processes have joined, which are lost, and at which check all of them stop."""

import contextlib
import json
import socket
import threading
import time
from typing import Any

from rnnlm_jax.jobs.liveness.connection import Connection, Silence, beat_seconds
from rnnlm_jax.jobs.liveness.member import Timeouts, silent_reason
from rnnlm_jax.jobs.liveness.tunnel import connect_to_service, splice

#: Seconds that process 0 waits at the end of a job until the other processes have read why it ended.
FAREWELL_SECONDS = 2.0


class Hub:
    """Listens on the port of the job; every process, process 0 included, is connected to it as a ``Member``."""

    def __init__(self, port: int, processes: int, service_port: int, *, timeouts: Timeouts) -> None:
        """Start to listen, in background threads.

        Args:
            port: the port of the job.
            processes: the number of processes.
            service_port: the local port of jax's coordination service, which may start later.
            timeouts: how long to wait for other processes.

        Raises:
            OSError: if the port is in use.
        """
        self.processes, self.service_port, self.timeouts = processes, service_port, timeouts
        self._lock = threading.RLock()
        self._members: dict[int, Connection] = {}
        self._silences: dict[int, Silence] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._done: set[int] = set()
        self._disconnected: set[int] = set()
        self._complete = self._ended = self._stopping = False
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._listener = socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=processes + 16)
        for target in (self._accept, self._watch):
            threading.Thread(target=target, name="hub", daemon=True).start()

    def farewell(self) -> None:
        """Wait up to ``FAREWELL_SECONDS`` until the other processes have read the last message and disconnected."""
        deadline = time.monotonic() + FAREWELL_SECONDS
        while time.monotonic() < deadline and len(self._disconnected - {0}) < len(self._members.keys() - {0}):
            time.sleep(0.01)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(sock,), name="hub", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        first = _first_message(sock)
        if first.get("tunnel"):
            service = connect_to_service(self.service_port, self.timeouts.start_timeout)
            if service is None:
                sock.close()
            else:
                splice(sock, service)
        elif isinstance(process := first.get("hello"), int):
            self._serve_member(process, first.get("processes"), Connection(sock))
        else:
            sock.close()  # not a process of a job

    def _serve_member(self, process: int, processes: object, connection: Connection) -> None:
        if not self._join(process, processes, connection):
            return
        while (message := connection.receive()) is not None:
            self._silences[process].reset()
            with self._lock:
                self._handle(process, message)
        with self._lock:
            if not self._complete:
                self._members.pop(process, None)
                return
            self._disconnected.add(process)
            if process not in self._done:
                self._lose(process, "its connection is closed")

    def _join(self, process: int, processes: object, connection: Connection) -> bool:
        with self._lock:
            refusal = ""
            if processes != self.processes:
                refusal = f"process 0 was started with `processes` {self.processes}, and this one with {processes}"
            elif process in self._members:
                refusal = f"two processes were started with `process_id` {process}: give each its own"
            if refusal:
                connection.send(refused=refusal)
                if not self._complete:  # a job that has begun goes on
                    self._refuse_all(refusal)
                connection.release()
                return False
            self._members[process], self._silences[process] = connection, Silence()
            if len(self._members) == self.processes:
                self._complete = True
                self._send_all(welcome=True)
            return True

    def _refuse_all(self, refusal: str) -> None:
        if not self._ended:
            self._ended = True
            self._send_all(refused=refusal)

    def _handle(self, process: int, message: dict[str, Any]) -> None:
        """Handle a message of a process."""
        if "stop" in message and not self._stopping:
            self._stopping = True
            self._send_all(stop=message["stop"], by=process)
        elif "checks" in message:
            self._answers[process] = message
            if len(self._answers) == self.processes:
                may_exit = all(answer["may_exit_at_once"] for answer in self._answers.values())
                last = max(answer["checks"] for answer in self._answers.values())
                self._send_all(halt=None if may_exit else last + 1)
        elif "failed" in message:
            self._done.add(process)
            self._lose(process, "its own message says why")
        elif "done" in message:
            self._done.add(process)
            if len(self._done) == self.processes:
                self._ended = True
                self._send_all(done=True)

    def _lose(self, process: int, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._send_all(but=process, lost=process, reason=reason)

    def _send_all(self, but: int | None = None, **message: Any) -> None:
        for process in sorted(self._members, reverse=True):  # process 0 last: it may end when it receives the message
            if process != but:
                self._members[process].send(**message)

    def _watch(self) -> None:
        """Send heartbeats, and detect processes that are silent or do not join."""
        pause, last = beat_seconds(self.timeouts.partner_timeout), time.monotonic()
        start = Silence()
        while not self._ended:
            time.sleep(pause)
            now = time.monotonic()
            elapsed, last = now - last, now
            with self._lock:
                if self._complete:
                    self._send_all(beat=True)
                    self._lose_silent(elapsed)
                    continue
                start.add(elapsed)
                if start.seconds > self.timeouts.start_timeout:
                    missing = [process for process in range(self.processes) if process not in self._members]
                    self._refuse_all(
                        f"process{'es' * (len(missing) > 1)} {', '.join(map(str, missing))} of {self.processes} did "
                        f"not come within {self.timeouts.start_timeout:g} s (`start_timeout`)"
                    )

    def _lose_silent(self, elapsed: float) -> None:
        for process, silence in self._silences.items():
            silence.add(elapsed)
            if process not in self._done and silence.seconds > self.timeouts.partner_timeout:
                self._lose(process, silent_reason(self.timeouts.partner_timeout))


def _first_message(sock: socket.socket) -> dict[str, Any]:
    """Read the first line of a connection byte by byte, so that what follows is left for its reader."""
    line = b""
    with contextlib.suppress(OSError, ValueError):
        while len(line) < 256 and not line.endswith(b"\n"):
            line += sock.recv(1) or b"\n"
        message = json.loads(line)
        return message if isinstance(message, dict) else {}
    return {}
