"""What a training of sequence models writes while it runs: metrics, and checkpoints that know how many of them."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnlm_jax.jobs.checkpoints import START, Position, restore_newest
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.sequence_model.program import SeedStates
from rnnlm_jax.sequence_model.run_files import SequenceRunFolder, begin_run, resume_run
from rnnlm_jax.training.metrics import JsonLines, complete_lines
from rnnlm_jax.training.run_lock import training_lock


class RunRecord:
    """The metrics and checkpoints of a run in progress."""

    def __init__(self, folder: SequenceRunFolder, identity: RunIdentity, *, resume: bool) -> None:
        """Open the folder of checkpoints; ``restore`` opens the metrics."""
        self.folder, self.identity, self.resume = folder, identity, resume
        self.checkpoints = folder.checkpoints()
        self._lines: JsonLines | None = None

    def restore(self, states: SeedStates) -> tuple[SeedStates, Position, list[dict[str, Any]]]:
        """Return states, position and records of the newest intact checkpoint; those of the start without one.

        Args:
            states: the states before the first step.

        Raises:
            CheckpointError: if all checkpoints are damaged, or one is of another run.
        """
        trees, position, kept = {"states": states}, START, []
        if self.resume and self.checkpoints.steps():
            trees, position, _ = restore_newest([self.checkpoints], trees, self.identity)
        self._lines = JsonLines(self.folder.metrics, self.identity.run_id, position if self.resume else None)
        if position.step:
            kept = [json.loads(line) for line in complete_lines(self.folder.metrics)]
        own = [{name: value for name, value in record.items() if name != "run_id"} for record in kept]
        return trees["states"], position, own

    def write(self, record: dict[str, Any]) -> None:
        """Append a record to the metrics."""
        assert self._lines is not None
        self._lines.write(record)

    def save(self, states: SeedStates, *, step: int, seconds: float) -> None:
        """Save a checkpoint.

        Raises:
            CheckpointError: if it cannot be written.
        """
        assert self._lines is not None
        written = {"records": self._lines.lines, "records_digest": self._lines.digest}
        position = dataclasses.replace(START, step=step, seconds=seconds, **written)
        self.checkpoints.save({"states": states}, position, self.identity)

    def close(self) -> None:
        """Close the metrics."""
        if self._lines is not None:
            self._lines.close()


@contextlib.contextmanager
def open_record(path: Path, description: dict[str, Any], *, resume: bool) -> Iterator[RunRecord]:
    """Reserve a run folder, begin its run or check that it is the one to resume, and close its files after the block.

    A new run that fails before its first checkpoint is removed, so that it can be begun again under the same name.

    Args:
        path: the folder.
        description: what is trained.
        resume: whether to go on with the run in the folder.

    Raises:
        CheckpointError: if the folder has another run, or another process trains there.
    """
    folder = SequenceRunFolder(path)
    identity = (resume_run if resume else begin_run)(folder, description)
    with training_lock(path):
        record = RunRecord(folder, identity, resume=resume)
        try:
            yield record
        except Exception:
            if not resume and not record.checkpoints.steps():
                folder.remove()
            raise
        finally:
            record.close()
