"""One training a folder: a second one would write over the first one's metrics and checkpoints."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rnnlm_jax.errors import UserError

#: The file of a run's folder that is locked.
LOCK = ".training.lock"

_TAKEN = {errno.EACCES, errno.EAGAIN}


@contextlib.contextmanager
def only_trainer(folder: Path) -> Iterator[None]:
    """Hold a run's folder for training, for as long as this lasts or the process lives.

    The lock is the operating system's, on ``.training.lock``: a killed process leaves none, and processes forked from
    this one do not keep it. File systems that know no locks are trained on without.

    Raises:
        UserError: if another process trains there.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise UserError(
                    f"another process{_name(descriptor)} is training in {folder}: wait for it or stop it, "
                    "or give another --run"
                ) from None
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} on {os.uname().nodename}".encode())
        yield
    finally:
        os.close(descriptor)


def _name(descriptor: int) -> str:
    """Who wrote into the lock last, as far as that can be read."""
    holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    return f" ({holder})" if holder else ""
