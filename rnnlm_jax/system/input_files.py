"""Opening input files that users name: regular files and pipes, plain or gzip-compressed, read from the first byte.

A pipe yields its bytes only once. Therefore every input file of a user is opened by this module, and never twice just
to look at its beginning. To read an input again, use ``file_opener``, or work within ``keep_piped_inputs``.
"""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from rnnlm_jax.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
#: Bytes that ``peek`` of an opened file returns, unless the file is shorter.
PEEK_SIZE = 2**16

#: Contents of pipes and devices by device and inode; None outside ``keep_piped_inputs``.
_kept: ContextVar[dict[tuple[int, int], bytes] | None] = ContextVar("_kept", default=None)


class FileOpener(Protocol):
    """Open one file at its start; may be called any number of times."""

    def __call__(self) -> io.BufferedReader:
        """Return the file, decompressed if it is gzip."""
        ...


@contextmanager
def keep_piped_inputs() -> Iterator[None]:
    """Keep the contents of pipes and devices in memory within the block, so that each can be opened again."""
    token = _kept.set({} if _kept.get() is None else _kept.get())
    try:
        yield
    finally:
        _kept.reset(token)


def open_input(path: str | Path, what: str = "file") -> io.BufferedReader:
    """Open a file to read its bytes, decompressed if its content is gzip, whatever its name.

    A pipe or device is read to its end at once; outside ``keep_piped_inputs`` it is empty afterwards.

    Args:
        path: the file.
        what: the kind of file, for error messages: "model file".

    Returns:
        The file at its start; its ``peek`` returns up to ``PEEK_SIZE`` bytes.

    Raises:
        DataError: the file does not exist, is a directory, or cannot be read.
    """
    with as_data_errors(path, what):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            file = io.BufferedReader(io.FileIO(path), PEEK_SIZE)
        else:
            file = _buffered(_read_once(path, status))
        if not file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
            return file
        unpacked = gzip.GzipFile(fileobj=file)
        unpacked.myfileobj = file  # type: ignore[assignment]  # closes the file along with the archive
        return io.BufferedReader(unpacked, PEEK_SIZE)  # type: ignore[arg-type]  # has the methods of a raw file


def read_input(path: str | Path, what: str = "file") -> bytes:
    """Return all bytes of a file, as ``open_input`` reads them.

    Raises:
        DataError: as ``open_input``, or the file is damaged.
    """
    with open_input(path, what) as file, as_data_errors(path, what):
        return file.read()


def file_opener(path: str | Path, what: str = "file") -> FileOpener:
    """Return a function that opens a file as ``open_input`` does; a pipe or device is read now and kept in memory.

    Raises:
        DataError: as ``open_input``.
    """
    if is_regular_file(path):
        return partial(open_input, path, what)
    content = read_input(path, what)
    return lambda: _buffered(content)


def is_regular_file(path: str | Path) -> bool:
    """Return whether a path is a file that can be opened repeatedly: not a pipe, device or directory."""
    return Path(path).is_file()


def is_uncompressed_file(path: str | Path, what: str = "file") -> bool:
    """Return whether another library can read a file by its path: a regular file, not compressed.

    Raises:
        DataError: the file does not exist, is a directory, or cannot be read.
    """
    if not is_regular_file(path):
        with as_data_errors(path, what):
            os.stat(path)
        return False
    with as_data_errors(path, what), open(path, "rb") as file:
        return file.read(len(GZIP_MAGIC)) != GZIP_MAGIC


def input_lines(file: BinaryIO, path: str | Path, what: str = "file") -> Iterator[bytes]:
    r"""Yield the lines of an open file, each with its ``\n``, and close the file.

    Raises:
        DataError: on reaching a part that is damaged or cannot be read.
    """
    with file, as_data_errors(path, what):
        yield from file


@contextmanager
def as_data_errors(path: str | Path, what: str = "file") -> Iterator[None]:
    """Turn errors of opening, reading or decompressing a file into a ``DataError`` of one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"cannot find the {what} {path}: check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory: give the path of the {what}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error}): compress or write it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None


def _read_once(path: str | Path, status: os.stat_result) -> bytes:
    """Return the content of a pipe or device, from memory if it was read before."""
    kept = _kept.get()
    key = (status.st_dev, status.st_ino)
    if kept is not None and key in kept:
        return kept[key]
    content = Path(path).read_bytes()
    if kept is not None:
        kept[key] = content
    return content


def _buffered(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content), PEEK_SIZE)  # type: ignore[arg-type]  # has a raw file's methods
