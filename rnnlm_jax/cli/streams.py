"""Standard output and error: closed ones, full ones, and encodings that lack a character."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class OutputClosedError(BrokenPipeError):
    """Nobody reads standard output any more, as in ``rnnlm-jax score … | head``."""


def prepare_streams() -> None:
    """Make standard output and error usable, whatever this process was started with.

    A closed one (``>&-``) is opened on the null device: otherwise the next file to be opened would take its place, and
    be written what is printed. A character that the encoding lacks is printed as its number.
    """
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class GuardedStream:
    """A text stream that hands the error of a write, and of all later ones, to ``failed``, and drops the text."""

    def __init__(self, stream: Any, failed: Callable[[OSError], None]):
        """Guard ``stream``."""
        self._stream, self._failed = stream, failed
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text; return its length."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write what is waiting."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self._error is None:
            try:
                action()
                return
            except OSError as error:
                self._error = error
                with contextlib.suppress(io.UnsupportedOperation, OSError):
                    drop_output(self._stream.fileno())  # what is waiting would fail again, also as the process ends
        self._failed(self._error)  # also of later ones: argparse, for one, goes on after the first

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)


def drop_output(descriptor: int) -> None:
    """Let what is written to a file descriptor go nowhere from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Within, a failing standard output raises an error that names it, and a failing standard error is no failure.

    Raises:
        OutputClosedError: within, if nobody reads standard output any more.
        OSError: within, if it cannot be written for another reason.
    """
    out: Any = GuardedStream(sys.stdout, _fail)
    err: Any = GuardedStream(sys.stderr, lambda error: None)  # there is nowhere left to say so
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def _fail(error: OSError) -> NoReturn:
    kind = OutputClosedError if isinstance(error, BrokenPipeError) else OSError
    raise kind(error.errno, error.strerror, "standard output") from error


@contextlib.contextmanager
def unneeded_output(said: str) -> Iterator[None]:
    """Within, go on without standard output once it fails, and say so on standard error.

    Args:
        said: what is done without it, as in "training goes on".

    Raises:
        OSError: in the end, if it could not be written for another reason than that nobody reads it any more.
    """
    failures: list[OSError] = []

    def failed(error: OSError) -> None:
        if failures:
            return
        failures.append(error)
        print(f"\rrnnlm-jax: standard output is lost ({error.strerror}): {said}", file=sys.stderr)

    out: Any = GuardedStream(sys.stdout, failed)
    with contextlib.redirect_stdout(out):
        yield
        out.flush()
    if failures and not isinstance(failures[0], BrokenPipeError):
        raise failures[0]
