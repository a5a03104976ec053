"""Standard output and standard error that are closed, full, or cannot encode a character."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class OutputClosedError(BrokenPipeError):
    """The reader of standard output is gone, as in ``rnnlm-jax score … | head``."""


def prepare_streams() -> None:
    """Make standard output and standard error usable, however this process was started.

    A closed one (``>&-``) is opened on the null device: otherwise the next file to be opened would take its place and
    receive what is printed. A character that the encoding lacks is printed as an escape sequence.
    """
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this descriptor
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class GuardedStream:
    """A text stream that, once a write fails, drops all text and calls ``on_error`` at every write."""

    def __init__(self, stream: Any, on_error: Callable[[OSError], None]):
        """Guard ``stream``."""
        self._stream, self._on_error = stream, on_error
        self._error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text; return its length."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write buffered text."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self._error is None:
            try:
                action()
                return
            except OSError as error:
                self._error = error
                with contextlib.suppress(io.UnsupportedOperation, OSError):
                    drop_output(self._stream.fileno())  # buffered text would fail again, also when the process ends
        self._on_error(self._error)  # at later writes too: argparse, for example, goes on after the first error

    def __getattr__(self, name: str) -> Any:
        """Take all other attributes from the stream."""
        return getattr(self._stream, name)


def drop_output(descriptor: int) -> None:
    """Redirect a file descriptor to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Raise an error that names standard output when a write to it fails; ignore failing writes to standard error.

    Raises:
        OutputClosedError: within, if the reader of standard output is gone.
        OSError: within, if standard output cannot be written for another reason.
    """
    out: Any = GuardedStream(sys.stdout, _raise_named)
    err: Any = GuardedStream(sys.stderr, lambda error: None)  # there is nowhere left to report it
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def _raise_named(error: OSError) -> NoReturn:
    kind = OutputClosedError if isinstance(error, BrokenPipeError) else OSError
    raise kind(error.errno, error.strerror, "standard output") from error


@contextlib.contextmanager
def optional_output(continuing: str) -> Iterator[None]:
    """Go on without standard output once a write to it fails, after one message on standard error.

    Args:
        continuing: what the command does without it, such as "training goes on".

    Raises:
        OSError: at the end, if standard output failed for another reason than that its reader is gone.
    """
    errors: list[OSError] = []

    def report_once(error: OSError) -> None:
        if not errors:
            errors.append(error)
            print(f"\rrnnlm-jax: standard output is lost ({error.strerror}): {continuing}", file=sys.stderr)

    out: Any = GuardedStream(sys.stdout, report_once)
    with contextlib.redirect_stdout(out):
        yield
        out.flush()
    if errors and not isinstance(errors[0], BrokenPipeError):
        raise errors[0]
