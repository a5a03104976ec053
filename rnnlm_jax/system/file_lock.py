"""Locks on files, which end with the process that holds them, and builds in a folder that processes share."""

import contextlib
import errno
import glob
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout


class LockHeldError(Exception):
    """Another process holds the lock."""


#: Errors of file systems that have no locks.
_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool, mode: int = 0o644) -> Iterator[bool]:
    """Hold an exclusive lock on a file for the duration of the block.

    The lock is the operating system's: it ends with the process, even if that is killed. The file itself stays.

    Args:
        path: the file to lock, created if missing.
        wait: whether to wait for another process to release it.
        mode: permissions of a new file.

    Yields:
        True; False on a file system without locks, where the block runs without one.

    Raises:
        LockHeldError: if another process holds the lock, unless ``wait``.
        OSError: if the file cannot be created.
    """
    # A fresh object for each call (no singleton): within one process, too, the second call is refused or waits.
    lock = FileLock(path, mode=mode, timeout=-1 if wait else 0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(poll_interval=0.05)
        held = True
    except Timeout:
        raise LockHeldError(f"another process holds {path}") from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        held = False
    try:
        yield held
    finally:
        if held:
            lock.release()


@contextlib.contextmanager
def single_build(parent: Path, name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield an empty folder inside ``parent`` to build in, for one process at a time; delete it afterwards.

    Other processes that build the same ``name`` wait; afterwards they should check whether the build is done already.
    Folders that killed builds left behind are deleted. The lock is on ``.NAME.lock``. On file systems without locks,
    processes build side by side.

    Args:
        parent: the shared folder.
        name: name of what is built.
        waiting: called once if another process is building it.

    Raises:
        OSError: if ``parent`` cannot be written.
    """
    prefix = f".{name}."
    with contextlib.ExitStack() as stack:
        path = parent / f"{prefix}lock"
        try:
            held = stack.enter_context(file_lock(path, wait=False, mode=0o600))
        except LockHeldError:
            waiting()
            held = stack.enter_context(file_lock(path, wait=True, mode=0o600))
        if held:
            for leftover in parent.glob(f"{glob.escape(prefix)}*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
        yield Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=prefix)))
