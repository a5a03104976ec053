"""Checkpoints of a training run: written in the background, completely or not at all, and verified when read."""

from rnnlm_jax.jobs.checkpoints.folder import CheckpointFolder, DamagedCheckpointError
from rnnlm_jax.jobs.checkpoints.metadata import START, Position, position_from_json
from rnnlm_jax.jobs.checkpoints.restoring import Restored, restore_first, restore_newest

__all__ = [
    "START",
    "CheckpointFolder",
    "DamagedCheckpointError",
    "Position",
    "Restored",
    "position_from_json",
    "restore_first",
    "restore_newest",
]
