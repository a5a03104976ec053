"""What a resumed run may change, which checkpoints it goes on from, and which of them it writes again."""

import dataclasses
from typing import Any

from rnnlm_jax.array_types import Tree
from rnnlm_jax.config import Config, options, replace
from rnnlm_jax.errors import UserError, warn
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, Position, Restored, restore_newest
from rnnlm_jax.jobs.run_identity import RunIdentity


def resumed_config(begun: Config, asked: Config) -> Config:
    """The configuration of a run with the options that a resumed run may change as they are asked for.

    Raises:
        UserError: naming the first option that differs and may not.
    """
    changes: dict[str, dict[str, Any]] = {}
    for (group, spec, before), (_, _, after) in zip(options(begun), options(asked), strict=True):
        if before == after:
            continue
        if spec.name == "input_workers" and (before is None) != (after is None):
            raise UserError(
                f"cannot resume with input workers {after}: the run was begun with {before}, and text in memory "
                "cannot become text on disk, or the other way; leave the option out, or begin another run"
            )
        if not spec.metadata["may_change"]:
            raise UserError(
                f"cannot resume with {spec.name.replace('_', ' ')} {after}: the run was begun with {before}; "
                "leave the option out, or begin another run"
            )
        changes.setdefault(group, {})[spec.name] = after
    return replace(begun, **changes)


def newest_training(
    last: CheckpointFolder, validating: CheckpointFolder, like: dict[str, Tree], identity: RunIdentity
) -> Restored | None:
    """The newest state of training that is whole; None, which is told, if there is none at all.

    A step is among the ``last`` once its epoch is validated; among those ``validating`` it is from before.

    Raises:
        UserError: if there are checkpoints, and none is whole, or it is of another run or model.
    """
    if not last.steps() and not validating.steps():
        warn(f"{last.folder} holds no checkpoint: training begins anew")
        return None
    return restore_newest((last, validating), like, identity)


def with_best(
    position: Position, best: CheckpointFolder, last: CheckpointFolder, like: dict[str, Tree], identity: RunIdentity
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
        best.restore(like, identity, step)
    except UserError as error:
        what = str(error).split(": restore")[0]
        if step not in last.steps():
            raise UserError(
                f"{what}, and with it the best parameters so far: restore it from a copy, or delete {best.folder} to "
                "go on with the best from here on"
            ) from error
        trees, at = last.restore(like, identity, step)
        warn(f"{what}: written again from {last.folder / str(step)}")
        best.discard(step)
        best.save(trees, at, identity)
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
