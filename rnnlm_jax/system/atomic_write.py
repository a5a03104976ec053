"""Write a file completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnlm_jax.errors import ArgumentError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` at the end; after an error, delete it.

    Raises:
        ArgumentError: if ``path`` is a folder or a device.
        OSError: if the file cannot be written; its ``filename`` is ``path``.
    """
    path = Path(path)
    require_file_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # a full disk reports no file name, and users do not know the temporary one
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_file_name(path: str | Path) -> None:
    """Check that a file of this name can be written.

    Raises:
        ArgumentError: if it is the name of a folder or a device.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ArgumentError(f"{path} is a {'folder' if path.is_dir() else 'device'}: give the name of a file to write")
