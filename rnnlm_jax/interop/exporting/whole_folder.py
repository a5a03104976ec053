"""Writing a folder whole or not at all."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnlm_jax.errors import UserError


@contextmanager
def written_folder(path: str | Path, option: str) -> Iterator[Path]:
    """A folder to fill beside ``path``, which takes that name once all is in it; after an error nothing is left.

    Args:
        path: what it will be called; an empty folder of that name is replaced.
        option: of the command line, to name in errors.

    Raises:
        UserError: if there is a file of that name, or a folder that is not empty.
    """
    path = Path(path).absolute()
    require_free(path, option)
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
    """Remove a folder, again if it comes back: threads of Orbax's may go on writing in it after one of them failed."""
    quiet = 0
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
        quiet = 0 if folder.exists() else quiet + 1
        if quiet == 4:
            return


def require_free(path: Path, option: str) -> None:
    """Check that a folder can take this name.

    Raises:
        UserError: if something is there already, but for an empty folder.
    """
    if path.is_dir():
        if any(path.iterdir()):
            raise UserError(f"the folder {path} is not empty: give another {option}, or delete it first")
    elif path.exists():
        raise UserError(f"{path} is no folder: give another {option}")
