"""Writing a folder completely or not at all."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnlm_jax.errors import CheckpointError


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, which is renamed to it at the end, and removed after an error.

    Args:
        path: the folder to write; it must not exist, or be empty.

    Raises:
        CheckpointError: if ``path`` is a file, or a folder that is not empty.
    """
    path = Path(path).absolute()
    require_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.mkdir()
        yield temporary
        temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise


def _remove(folder: Path) -> None:
    """Remove a folder, repeatedly, because Orbax's threads may go on writing in it after one of them failed."""
    times_absent = 0
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
        times_absent = 0 if folder.exists() else times_absent + 1
        if times_absent == 4:
            return


def require_free(path: Path) -> None:
    """Check that a folder can be written at a path.

    Raises:
        CheckpointError: if a file, or a folder that is not empty, is there.
    """
    if path.is_dir():
        if any(path.iterdir()):
            raise CheckpointError(f"the folder {path} is not empty: choose another one, or delete it first")
    elif path.exists():
        raise CheckpointError(f"{path} is not a folder: choose another path")
