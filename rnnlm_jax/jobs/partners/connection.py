"""Messages over a socket, one JSON object a line, and how long the other end has been silent."""

import contextlib
import json
import socket
import threading
from typing import Any

#: Longest line that is read: whatever else connects to the port must not fill the memory.
LINE_BYTES = 65536

#: Seconds between two signs of life, at most.
BEAT_SECONDS = 1.0


class Connection:
    """Both directions of a socket; any thread may send, one receives."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self._sending = threading.Lock()
        self._reader = sock.makefile("rb")

    def send(self, **message: Any) -> None:
        """Send a message; if the other end is gone, ``receive`` says so."""
        with self._sending, contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None when the other end is gone, or sends anything else."""
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
        """End both directions; a thread that is receiving then releases the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the socket back, when no thread is receiving."""
        self._reader.close()
        self.socket.close()


class Silence:
    """Seconds since the other end was last heard of, during which this process itself was running.

    Waiting is counted in short pieces: a process that was suspended has not listened, and must not blame the others.
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self.seconds = 0.0

    def heard(self) -> None:
        """Begin again at zero."""
        self.seconds = 0.0

    def waited(self, seconds: float) -> None:
        """Count some more seconds."""
        self.seconds += min(seconds, 2 * BEAT_SECONDS)


def beat_seconds(silent_seconds: float) -> float:
    """Seconds between two signs of life where a process silent for ``silent_seconds`` is taken for lost."""
    return min(BEAT_SECONDS, silent_seconds / 5)
