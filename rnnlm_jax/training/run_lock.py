"""Reserve a run folder for one training process, and clean up a run that cannot begin."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.system.file_lock import LockHeldError, file_lock

#: The file of a run folder that is locked.
LOCK = ".training.lock"


@contextlib.contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Reserve a run folder for this process during the block: two would overwrite each other's metrics and checkpoints.

    The lock ends with the process, even if that is killed. On file systems without locks nothing is reserved.

    Raises:
        CheckpointError: if another process is training there.
    """
    path = folder / LOCK
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(file_lock(path, wait=False))
        except LockHeldError:
            holder = path.read_text(errors="replace").strip()
            raise CheckpointError(
                f"another process{f' ({holder})' if holder else ''} is training in {folder}: wait for it or stop it, "
                "or give another `run`"
            ) from None
        if held:
            path.write_text(f"{os.getpid()} on {os.uname().nodename}")
        yield


@contextlib.contextmanager
def removed_on_failure(folder: RunFolder) -> Iterator[None]:
    """Delete a new run if the block fails, so that the run can be started again under the same name."""
    try:
        yield
    except Exception:
        written = (folder.config, folder.vocabulary, folder.counts, folder.metrics, folder.initialized)
        for path in (*written, folder.path / LOCK):
            path.unlink(missing_ok=True)
        for name in ("checkpoints", "csv"):
            shutil.rmtree(folder.path / name, ignore_errors=True)
        with contextlib.suppress(OSError):  # the folder has other files
            folder.path.rmdir()
        raise
