"""jax's coordination service behind the port of the job, and each process's way to it.

jax's client ends its process with a C++ stack as soon as the connection to the service breaks. Here the client talks to
a relay in its own process, which keeps that connection open when the far end is gone, so that the ``Member`` notices
first and ends the process in good order.
"""

import contextlib
import json
import socket
import threading
import time


def listen_locally() -> socket.socket:
    """A listening socket on a free port that only this machine reaches."""
    return socket.create_server(("127.0.0.1", 0))


def free_local_port() -> int:
    """A port that nobody listens on."""
    with listen_locally() as listener:
        return listener.getsockname()[1]


class Relay:
    """A local port that leads to the coordination service of process 0."""

    def __init__(self, host: str, port: int) -> None:
        """Listen; connections to ``port`` on ``host`` are made as they are asked for."""
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
                near.close()  # asked for again
                continue
            splice(near, far, keep_open=True)


def splice(near: socket.socket, far: socket.socket, keep_open: bool = False) -> None:
    """Copy what each of two sockets sends to the other, in threads of their own.

    Args:
        near: a socket.
        far: another one.
        keep_open: leave ``near`` open when ``far`` ends.
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
    """A connection to the service on this machine, which may begin to listen a little later; None if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.02)
    return None
