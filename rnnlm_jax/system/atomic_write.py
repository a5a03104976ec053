"""Writing a file whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnlm_jax.errors import UserError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A place to write beside ``path``, which takes that name once all is written; after an error nothing is left.

    Raises:
        UserError: if ``path`` is a folder or a device.
        OSError: if it cannot be written, with its name.
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
    except OSError as error:  # of a full disk no name is told, and of the temporary file nobody has heard
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_file_name(path: str | Path) -> None:
    """Check that a file can take this name.

    Raises:
        UserError: if it is the name of a folder or a device.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is a {'folder' if path.is_dir() else 'device'}: give the name of a file to write")
