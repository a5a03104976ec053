"""Which checkpoints a resumed run goes on from, and which of them it writes again."""

import dataclasses
from typing import Any

from rnnlm_jax.array_types import Tree
from rnnlm_jax.checkpoints import CheckpointFolder, Position, Restored, restore_newest
from rnnlm_jax.config import Config
from rnnlm_jax.errors import UserError, warn


def reads(config: Config) -> dict[str, Any]:
    """What decides, with the text, which tokens the n-th batch of an epoch holds: so a position holds it too.

    It is not how many processes or workers read them.
    """
    data = config.data
    return {
        "batching": data.batching,
        "batch size": data.batch_size,
        "window": data.window,
        "seed": config.training.seed,
    }


def require_same_reads(saved: Position, asked: Position) -> None:
    """Check that batches are those of which the saved position counts some.

    Raises:
        UserError: naming the first difference. The run's own configuration, which is compared with what is asked for
            before, has then been changed.
    """
    for name, value in (saved.reads or {}).items():
        if asked.reads is not None and asked.reads.get(name) != value:
            raise UserError(
                f"cannot resume with {name} {asked.reads.get(name)}: the checkpoint of step {saved.step} was trained "
                f"with {value}; restore the config.json of the run, or begin another run"
            )


def newest_training(
    last: CheckpointFolder, validating: CheckpointFolder, like: dict[str, Tree], vocabulary_hash: str
) -> Restored | None:
    """The newest state of training that is whole; None, which is told, if there is none at all.

    A step is among the ``last`` once its epoch is validated; among those ``validating`` it is from before.

    Raises:
        UserError: if there are checkpoints, and none is whole, or it is of another vocabulary or model.
    """
    if not last.steps() and not validating.steps():
        warn(f"{last.folder} holds no checkpoint: training begins anew")
        return None
    return restore_newest((last, validating), like, vocabulary_hash)


def with_best(
    position: Position, best: CheckpointFolder, last: CheckpointFolder, like: dict[str, Tree], vocabulary_hash: str
) -> Position:
    """The position, once its best parameters so far are seen to be whole.

    If they are not, they are taken from ``last``, where it has that step. A folder that holds none at all has been
    deleted by someone, and the best is sought anew.

    Raises:
        UserError: if they are lost: the results would be those of another epoch.
    """
    step = position.best_step
    if step is None:
        return position
    if not best.steps() and step not in last.steps():
        warn(f"{best.folder} holds no checkpoint: the best one is sought from epoch {position.epoch + 1} on")
        return dataclasses.replace(position, best_step=None, best_valid_nats=None)
    try:
        if step not in best.steps():
            raise UserError(f"the checkpoint {best.folder / str(step)} is missing")
        best.restore(like, vocabulary_hash, step)
    except UserError as error:
        what = str(error).split(": restore")[0]
        if step not in last.steps():
            raise UserError(
                f"{what}, and with it the best parameters so far: restore it from a copy, or delete {best.folder} to "
                "go on with the best from here on"
            ) from error
        trees, at = last.restore(like, vocabulary_hash, step)
        warn(f"{what}: written again from {last.folder / str(step)}")
        best.discard(step)
        best.save(trees, at, vocabulary_hash)
    return position


def discard_later(position: Position, validated: bool, last: CheckpointFolder, best: CheckpointFolder) -> None:
    """Remove checkpoints beyond the position that a run goes on from, and what no process has finished writing.

    They are damaged, or of steps that will be taken again; as is the last one of the very step, if the position is from
    before its epoch was validated.
    """
    last.discard(*(step for step in last.steps() if step > position.step - (not validated)))
    best.discard(*(step for step in best.steps() if step > position.step - (not validated)))
    for folder in (last, best):
        folder.prepare()
