"""Messages over a socket, one JSON object on each line, and the time since the last one."""

import contextlib
import json
import socket
import threading
from typing import Any

#: Longest line that is read, in bytes: other programs that connect to the port must not fill the memory.
LINE_BYTES = 65536

#: Longest time between two heartbeats, in seconds.
BEAT_SECONDS = 1.0


class Connection:
    """A socket that carries messages in both directions; any thread may send, one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self._sending = threading.Lock()
        self._reader = sock.makefile("rb")

    def send(self, **message: Any) -> None:
        """Send a message. If the connection is broken, nothing is raised: ``receive`` reports it."""
        with self._sending, contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None if the connection is broken, or carries anything else."""
        try:
            line = self._reader.readline(LINE_BYTES)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            message = None
        if isinstance(message, dict):
            return message
        self.release()
        return None

    def close(self) -> None:
        """Shut down both directions; a thread that is receiving then releases the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the socket; only when no thread is receiving."""
        self._reader.close()
        self.socket.close()


class Silence:
    """Seconds since the last message of the other process, during which this process was running.

    Time is added in short pieces: a process that was suspended did not listen, so it must not take the others for lost.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds = 0.0

    def reset(self) -> None:
        """Start again at zero, after a message."""
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Add the time since the last call."""
        self.seconds += min(seconds, 2 * BEAT_SECONDS)


def beat_seconds(partner_timeout: float) -> float:
    """Return the seconds between two heartbeats, for a time-out in seconds."""
    return min(BEAT_SECONDS, partner_timeout / 5)
