"""The cache folder: files that can be made again, such as compiled kernels and programs, and prepared data sets."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from rnnlm_jax.errors import warn

#: The environment variable that names the cache folder.
CACHE_VARIABLE = "RNNLM_JAX_CACHE"


class NoCacheError(Exception):
    """No cache folder is named and the user has no home directory; the message is a few words."""


def user_cache_root() -> Path:
    """Return ``$RNNLM_JAX_CACHE``, or the platform's cache folder (Linux: ``~/.cache/rnnlm_jax``); it may not exist.

    Raises:
        NoCacheError: if the variable is not set and the user has no home directory.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    import platformdirs  # not needed by most programs that import the library

    try:
        folder = platformdirs.user_cache_path("rnnlm_jax", appauthor=False)
    except RuntimeError:
        folder = None
    if folder is None or not folder.is_absolute():  # earlier releases of platformdirs return "~/.cache" unexpanded
        raise NoCacheError("the user has no home directory")
    return folder


def cache_root() -> Path:
    """Return ``user_cache_root()``; without one, warn and return a folder that is deleted when the process ends.

    Raises:
        OSError: if no temporary folder can be created either.
    """
    try:
        return user_cache_root()
    except NoCacheError as error:
        warn_unkept(str(error))
        return _temporary()


def writable_folder(name: str) -> Path:
    """Create a folder in ``cache_root()``; if it cannot be written, warn and create a temporary one.

    Args:
        name: the folder's name.

    Returns:
        The folder. A temporary one is deleted when the process ends.

    Raises:
        OSError: if no temporary folder can be created either.
    """
    folder = cache_root() / name
    try:
        require_writable(folder)
    except OSError as error:
        warn_unkept(f"{error.filename or folder}: {error.strerror or error}")
        folder = _temporary() / name
        require_writable(folder)
    return folder


def require_writable(folder: Path) -> None:
    """Create a folder if it is missing, and check that it can be written.

    Only this user may write there: other users could plant programs that this user would run.

    Raises:
        OSError: if it cannot be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


@functools.cache
def warn_unkept(reason: str) -> None:
    """Warn, once for each reason, that nothing is cached for later starts."""
    warn(
        f"nothing can be kept for the next start ({reason}), which will compile everything again: set {CACHE_VARIABLE} "
        "to a folder that can be written"
    )


@functools.cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rnnlm_jax-"))
    owner = os.getpid()

    def delete() -> None:
        if os.getpid() == owner:  # not in forked processes: the folder is their parent's
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(delete)
    return folder
