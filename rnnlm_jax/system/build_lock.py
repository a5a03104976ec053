"""Building in a shared folder: one process at a time, and nothing left of those that were killed."""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def single_build(parent: Path, name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """An empty folder inside ``parent`` to build in, for one process at a time; it is deleted afterwards.

    Other processes that build the same ``name`` wait, and should then look whether there is anything left to build.
    What earlier builds left behind because they were killed is deleted. The lock is the operating system's, on
    ``.NAME.lock``, so a killed process leaves none; on file systems without locks, processes build side by side.

    Args:
        parent: the shared folder.
        name: of what is built.
        waiting: called once if another process is building it.

    Raises:
        OSError: if ``parent`` cannot be written.
    """
    prefix = f".{name}."
    descriptor = os.open(parent / f"{prefix}lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.lockf(descriptor, fcntl.LOCK_EX)
            for path in parent.glob(f"{glob.escape(prefix)}*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as folder:
            yield Path(folder)
    finally:
        os.close(descriptor)
