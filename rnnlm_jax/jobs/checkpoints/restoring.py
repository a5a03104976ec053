"""Restore the newest checkpoint that is not damaged."""

from collections.abc import Sequence
from typing import NamedTuple

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import CheckpointError, warn
from rnnlm_jax.jobs.checkpoints.folder import CheckpointFolder, DamagedCheckpointError
from rnnlm_jax.jobs.checkpoints.metadata import Position
from rnnlm_jax.jobs.run_identity import RunIdentity


class Restored(NamedTuple):
    """The contents of a checkpoint, and its folder."""

    trees: dict[str, Tree]
    position: Position
    folder: CheckpointFolder


def restore_newest(folders: Sequence[CheckpointFolder], like: dict[str, Tree], identity: RunIdentity) -> Restored:
    """Restore the newest checkpoint of some folders that is not damaged; of equal steps, the first folder's.

    Raises:
        CheckpointError: if there is none, or as ``restore_first``.
    """
    steps = sorted({step for folder in folders for step in folder.steps()}, reverse=True)
    found = [(folder, step) for step in steps for folder in folders if step in folder.steps()]
    if not found:
        raise CheckpointError(f"{folders[0].folder} holds no checkpoint: train first, or check the path")
    return restore_first(found, like, identity)


def restore_first(
    candidates: Sequence[tuple[CheckpointFolder, int]], like: dict[str, Tree], identity: RunIdentity
) -> Restored:
    """Restore the first checkpoint that is not damaged, verifying every leaf; warn of each damaged one.

    Args:
        candidates: folders and steps in order of preference; at least one.
        like: the trees to read, with the structures, shapes and dtypes that were saved.
        identity: the identity of the run that the checkpoints must belong to.

    Raises:
        CheckpointError: if all are damaged, or the first that can be read is of another run or model.
    """
    damaged: list[DamagedCheckpointError] = []
    for folder, step in candidates:
        try:
            trees, position = folder.restore(like, identity, step)
        except DamagedCheckpointError as error:
            damaged.append(error)
            continue
        for error in damaged:
            warn(f"{error.what}: reading {folder.folder / str(step)} instead")
        return Restored(trees, position, folder)
    raise damaged[0]
