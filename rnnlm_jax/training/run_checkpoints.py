"""The checkpoints of a run: the last ones, the best ones, and one that awaits its validation."""

import shutil
import sys

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import CheckpointError
from rnnlm_jax.jobs.checkpoints import START, CheckpointFolder, Position
from rnnlm_jax.jobs.distributed import on_primary
from rnnlm_jax.jobs.run_folder import RunFolder
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.training.resuming import discard_later_checkpoints, require_best_checkpoint, restore_training
from rnnlm_jax.training.train_state import TrainState, join_state, split_state


class RunCheckpoints:
    """The three folders of checkpoints of a run.

    Attributes:
        last: whole training states after a step, and after its validation where one was due.
        best: the parameters that were best in a validation.
        validating: a whole state whose validation was interrupted.
    """

    def __init__(self, folder: RunFolder, identity: RunIdentity, keep: int):
        """Open the folders; ``keep`` is the number of newest checkpoints that ``last`` keeps."""
        self._identity = identity
        self.last = CheckpointFolder(folder.checkpoints("last"), keep)
        # Two at least: a new best checkpoint is committed before the last one, and a crash may lose the last one.
        self.best = CheckpointFolder(folder.checkpoints("best"), max(keep, 2))
        self.validating = CheckpointFolder(folder.checkpoints("validating"))

    def restore(self, state: TrainState, *, uncommitted: bool) -> tuple[TrainState, Position]:
        """Return state and position of the newest intact checkpoint; the given state if there is none.

        Args:
            state: the initial state.
            uncommitted: see ``join_state``.

        Raises:
            CheckpointError: if all checkpoints are damaged, or one is of another run or model.
        """
        for folder in (self.last, self.best, self.validating):
            folder.require_same_run(self._identity)
        found = restore_training(self.last, self.validating, split_state(state), identity=self._identity)
        if found is None:
            return state, START
        # With an average, the last checkpoint has other parameters than the best one of the same step.
        copies = self.last if state.average is None else None
        like = {"params": state.params}
        position = require_best_checkpoint(found.position, self.best, copies, like=like, identity=self._identity)
        return join_state(found.trees, uncommitted=uncommitted), position

    def discard_later(self, position: Position) -> None:
        """Delete checkpoints beyond a position, which are damaged or of steps that will be made again."""
        discard_later_checkpoints(position, self.last, self.best, validated=position.validated)

    def save(self, folder: CheckpointFolder, state: TrainState, position: Position) -> None:
        """Start to save a checkpoint of the whole state in one of the folders."""
        folder.save(split_state(state), position, self._identity, background=True)

    def save_best(self, params: Tree, position: Position) -> None:
        """Save parameters that were the best in a validation."""
        self.best.save({"params": params}, position, self._identity)

    def finish(self) -> None:
        """Wait for the checkpoint that is being written; its error is dropped if another one is being raised."""
        raising = sys.exception() is not None
        try:
            self.last.wait()
        except CheckpointError:
            if not raising:
                raise

    def forget_validating(self) -> None:
        """Delete the state that awaited its validation, when all validations are made."""
        on_primary(lambda: shutil.rmtree(self.validating.folder, ignore_errors=True))
