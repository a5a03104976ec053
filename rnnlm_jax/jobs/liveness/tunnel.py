"""Connections to jax's coordination service through the port of the job.

jax's client aborts its process with a C++ stack trace as soon as its connection to the service breaks. So the client
talks to a relay in its own process, which keeps that connection open when the other end is gone. The ``Member`` then
detects the loss first, and ends the process with a message.
"""

import contextlib
import json
import socket
import threading
import time


def listen_locally() -> socket.socket:
    """Return a socket that listens on a free port of the loopback interface."""
    return socket.create_server(("127.0.0.1", 0))


def free_local_port() -> int:
    """Return a port of the loopback interface that is not in use."""
    with listen_locally() as listener:
        return listener.getsockname()[1]


class Relay:
    """A local port that leads to the coordination service of process 0."""

    def __init__(self, host: str, port: int) -> None:
        """Listen on ``address``; each connection to it opens one to ``port`` on ``host``."""
        self._far = host, port
        self._listener = listen_locally()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(self._far)
                far.sendall(json.dumps({"tunnel": True}).encode() + b"\n")
            except OSError:
                near.close()  # jax's client connects again
                continue
            splice(near, far, keep_open=True)


def splice(near: socket.socket, far: socket.socket, *, keep_open: bool = False) -> None:
    """Copy between two sockets in both directions, in background threads.

    Args:
        near: a connected socket.
        far: another one.
        keep_open: whether to leave ``near`` open when ``far`` is closed.
    """
    for each in (near, far):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=_copy_both_ways, args=(near, far, keep_open), name="tunnel", daemon=True).start()


def _copy_both_ways(near: socket.socket, far: socket.socket, keep_open: bool) -> None:
    back = threading.Thread(target=_copy, args=(far, near, keep_open), name="tunnel", daemon=True)
    back.start()
    _copy(near, far, False)
    back.join()
    near.close()
    far.close()


def _copy(source: socket.socket, target: socket.socket, keep_open: bool) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    if not keep_open:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def connect_to_service(port: int, seconds: float) -> socket.socket | None:
    """Connect to the coordination service on this machine, which may start later; None if it does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.02)
    return None
