"""Opening the files that people name: pipes as well as files, gzip as well as plain, each read from its first byte.

A pipe gives its bytes once. So nothing else in this library opens an input file that a user names, and nothing opens
one twice to look at its beginning. What has to be read again is opened by ``file_opener``, or within ``keep_piped_inputs``.
"""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from rnnlm_jax.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
#: Bytes of a file that ``peek`` shows, at least where it has so many.
PEEK_SIZE = 2**16

#: Contents of what can be read only once, by device and inode; None outside ``keep_piped_inputs``.
_kept: ContextVar[dict[tuple[int, int], bytes] | None] = ContextVar("_kept", default=None)


@contextmanager
def keep_piped_inputs() -> Iterator[None]:
    """Keep in memory what is read from pipes and devices, so that each can be opened again until the end of it."""
    token = _kept.set({} if _kept.get() is None else _kept.get())
    try:
        yield
    finally:
        _kept.reset(token)


def open_input(path: str | Path, what: str = "file") -> io.BufferedReader:
    """Open a file to read its bytes, decompressed if they are gzip's, whatever its name.

    A pipe or a device is read to its end at once. Outside ``keep_piped_inputs`` it is then empty for others.

    Args:
        path: the file.
        what: what it should be, for errors: "model file".

    Returns:
        A file at its start; ``peek`` shows up to ``PEEK_SIZE`` bytes.

    Raises:
        DataError: there is no such file, it is a directory, or it cannot be read.
    """
    with as_data_errors(path, what):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            file = _buffered(io.FileIO(path))
        else:
            file = _buffered(io.BytesIO(_read_once(path, status)))
        if not file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
            return file
        unpacked = gzip.GzipFile(fileobj=file)
        unpacked.myfileobj = file  # type: ignore[assignment]  # closed with it
        return _buffered(unpacked)


def read_input(path: str | Path, what: str = "file") -> bytes:
    """Return all bytes of a file, as ``open_input`` has them.

    Raises:
        DataError: as ``open_input``, or it is damaged.
    """
    with open_input(path, what) as file, as_data_errors(path, what):
        return file.read()


def file_opener(path: str | Path, what: str = "file") -> Callable[[], io.BufferedReader]:
    """Return what opens a file as ``open_input`` does, any number of times: a pipe or device is read now, and kept.

    Raises:
        DataError: as ``open_input``.
    """
    if is_regular_file(path):
        return partial(open_input, path, what)
    content = read_input(path, what)
    return lambda: _buffered(io.BytesIO(content))


def is_regular_file(path: str | Path) -> bool:
    """Whether there is such a file, and it can be opened again and again: no pipe, device or directory."""
    return Path(path).is_file()


def is_uncompressed_file(path: str | Path, what: str = "file") -> bool:
    """Whether a file can be handed by its path to a library that reads it: a regular one, not compressed.

    Raises:
        DataError: there is no such file, it is a directory, or it cannot be read.
    """
    if not is_regular_file(path):
        with as_data_errors(path, what):
            os.stat(path)
        return False
    with as_data_errors(path, what), open(path, "rb") as file:
        return file.read(len(GZIP_MAGIC)) != GZIP_MAGIC


def input_lines(file: BinaryIO, path: str | Path, what: str = "file") -> Iterator[bytes]:
    r"""Yield the lines of an open file, each with its ``\n``, and close it.

    Raises:
        DataError: on reaching what cannot be read, or is damaged.
    """
    with file, as_data_errors(path, what):
        yield from file


@contextmanager
def as_data_errors(path: str | Path, what: str = "file") -> Iterator[None]:
    """Raise what goes wrong with a file, while opening or reading it, as a ``UserError`` of one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"there is no {what} {path}: check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory: give the path of the {what}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error}): compress or write it anew") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None


def _read_once(path: str | Path, status: os.stat_result) -> bytes:
    """All bytes of what can be read only once, or those kept of it."""
    kept = _kept.get()
    key = (status.st_dev, status.st_ino)
    if kept is not None and key in kept:
        return kept[key]
    content = Path(path).read_bytes()
    if kept is not None:
        kept[key] = content
    return content


def _buffered(raw: Any) -> io.BufferedReader:
    return io.BufferedReader(raw, PEEK_SIZE)
