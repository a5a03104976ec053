"""The newest checkpoint that is whole: damage is told, and what was saved before it is read instead."""

from collections.abc import Sequence
from typing import NamedTuple

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import UserError, warn
from rnnlm_jax.jobs.checkpoints.about import Position
from rnnlm_jax.jobs.checkpoints.folder import CheckpointFolder, Damaged
from rnnlm_jax.jobs.run_identity import RunIdentity


class Restored(NamedTuple):
    """What was read, and from where."""

    trees: dict[str, Tree]
    position: Position
    folder: CheckpointFolder


def restore_newest(folders: Sequence[CheckpointFolder], like: dict[str, Tree], identity: RunIdentity) -> Restored:
    """Trees of the newest checkpoint of some folders that is whole; of the same step, the first folder's.

    Raises:
        UserError: as ``restore_first``.
    """
    steps = sorted({step for folder in folders for step in folder.steps()}, reverse=True)
    found = [(folder, step) for step in steps for folder in folders if step in folder.steps()]
    if not found:
        raise UserError(f"{folders[0].folder} holds no checkpoint: train first, or check the path")
    return restore_first(found, like, identity)


def restore_first(
    candidates: Sequence[tuple[CheckpointFolder, int]], like: dict[str, Tree], identity: RunIdentity
) -> Restored:
    """Trees of the first checkpoint that is whole, every leaf verified; each one passed over is told on stderr.

    Args:
        candidates: folders and steps, the one wanted most first; at least one.
        like: the trees to read, each of the same structure, shapes and dtypes as was saved.
        identity: of the run that they must belong to.

    Raises:
        UserError: if none is whole, or the first that can be read is of another run or model.
    """
    passed_over: list[Damaged] = []
    for folder, step in candidates:
        try:
            trees, position = folder.restore(like, identity, step)
        except Damaged as error:
            passed_over.append(error)
            continue
        for error in passed_over:
            warn(f"{error.what}: reading {folder.folder / str(step)} instead")
        return Restored(trees, position, folder)
    raise passed_over[0]
