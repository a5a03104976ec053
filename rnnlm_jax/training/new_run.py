"""A run that could not be begun leaves nothing behind."""

import contextlib
import shutil
from collections.abc import Iterator

from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.training.only_trainer import LOCK


@contextlib.contextmanager
def removed_on_failure(folder: RunFolder) -> Iterator[None]:
    """Remove a new run after an error within, so that it is not in the way of the next try."""
    try:
        yield
    except Exception:
        for path in (folder.config, folder.vocabulary, folder.counts, folder.metrics, folder.path / LOCK):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder.path / "checkpoints", ignore_errors=True)
        with contextlib.suppress(OSError):  # something else lies there
            folder.path.rmdir()
        raise
