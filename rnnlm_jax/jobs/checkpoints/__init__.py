"""Checkpoints of a training run: written whole or not at all, beside the training, and never read back wrong."""

from rnnlm_jax.jobs.checkpoints.about import Position
from rnnlm_jax.jobs.checkpoints.folder import CheckpointFolder, Damaged
from rnnlm_jax.jobs.checkpoints.restoring import Restored, restore_first, restore_newest

__all__ = ["CheckpointFolder", "Damaged", "Position", "Restored", "restore_first", "restore_newest"]
