"""The folder of what is kept between starts and can be made again: kernels, compiled programs, prepared data sets."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from rnnlm_jax.errors import warn

#: The environment variable that names the folder.
CACHE_VARIABLE = "RNNLM_JAX_CACHE"


class NoCacheError(Exception):
    """No folder is named and the user has no home directory; the message says so in a few words."""


def named_root() -> Path:
    """Return ``$RNNLM_JAX_CACHE``, or else ``rnnlm_jax`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; it need not exist.

    Raises:
        NoCacheError: if neither variable is set and the user has no home directory.
    """
    if ours := os.environ.get(CACHE_VARIABLE):
        return Path(ours).absolute()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(caches):  # the standard says to ignore relative ones
        return Path(caches) / "rnnlm_jax"
    try:
        return Path.home() / ".cache" / "rnnlm_jax"
    except RuntimeError as error:
        raise NoCacheError("the user has no home directory") from error


def cache_root() -> Path:
    """Return ``named_root()``, or after a warning a folder that is deleted when the process ends.

    Raises:
        OSError: if there is not even room for temporary files.
    """
    try:
        return named_root()
    except NoCacheError as error:
        warn_unkept(str(error))
        return _temporary()


def writable_folder(name: str) -> Path:
    """Make a folder in ``cache_root()``; where it cannot be written, after a warning, one that is deleted at the end.

    Raises:
        OSError: if there is not even room for temporary files.
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
    """Make a folder, of this user alone, since whoever may write there may have this user run programs.

    Raises:
        OSError: if it cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


@functools.cache
def warn_unkept(reason: str) -> None:
    """Warn, once for each reason, that nothing is kept between starts."""
    warn(
        f"nothing can be kept for the next start ({reason}), which will compile everything again: set {CACHE_VARIABLE} "
        "to a folder that can be written"
    )


@functools.cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rnnlm_jax-"))
    owner = os.getpid()

    def delete() -> None:
        if os.getpid() == owner:  # a forked process leaves it to its parent
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(delete)
    return folder
