"""Resume a run: the options that may change, the checkpoints to continue from, and those to write again."""

import dataclasses
from typing import Any

from rnnlm_jax.array_types import Tree
from rnnlm_jax.config import Config, options, replace
from rnnlm_jax.errors import CheckpointError, ConfigError, UserError, warn
from rnnlm_jax.jobs.checkpoints import CheckpointFolder, Position, Restored, restore_newest
from rnnlm_jax.jobs.run_identity import RunIdentity
from rnnlm_jax.training.make_optimizer import schedule_spans_job


def resumed_config(begun: Config, asked: Config) -> Config:
    """Return the configuration of a run with the changed options that a resumed run may change.

    Args:
        begun: the configuration of the run.
        asked: the configuration with which it is to be resumed.

    Raises:
        ConfigError: naming the first changed option that must not change.
    """
    changes: dict[str, dict[str, Any]] = {}
    for (group, spec, before), (_, _, after) in zip(options(begun), options(asked), strict=True):
        if before == after:
            continue
        if spec.name == "input_workers" and (before is None) != (after is None):
            raise ConfigError(
                f"cannot resume with `input_workers` {_shown(after)}: the run was begun with {_shown(before)}, and "
                "text in memory cannot become text on disk, or the other way; leave the option out, or begin another "
                "run"
            )
        if not spec.metadata["may_change"]:
            raise ConfigError(
                f"cannot resume with `{spec.name}` {_shown(after)}: the run was begun with {_shown(before)}; leave the "
                "option out, or begin another run"
            )
        is_other_length = spec.name in ("epochs", "steps") and _length(asked) != _length(begun)
        if is_other_length and schedule_spans_job(begun.optimizer):
            raise ConfigError(
                f"cannot resume with `{spec.name}` {_shown(after)}: the schedule {begun.optimizer.schedule!r} is that "
                f"of a job of {_length(begun)}; leave the option out, or begin another run"
            )
        changes.setdefault(group, {})[spec.name] = after
    return replace(begun, **changes)


def _length(config: Config) -> str:
    """Return the length of a job."""
    own = config.training
    return f"{own.epochs} epochs" if own.steps is None else f"{own.steps} steps"


def _shown(value: Any) -> Any:
    """Return a value as it is given on the command line."""
    return "none" if value is None else value


def restore_training(
    last: CheckpointFolder, validating: CheckpointFolder, like: dict[str, Tree], *, identity: RunIdentity
) -> Restored | None:
    """Restore the newest intact state of training; warn and return None without checkpoints.

    Of one step, the checkpoint in ``last`` was saved after its validation, that in ``validating`` before.

    Raises:
        CheckpointError: if all checkpoints are damaged, or one is of another run or model.
    """
    if not last.steps() and not validating.steps():
        warn(f"{last.folder} holds no checkpoint: training begins anew")
        return None
    return restore_newest((last, validating), like, identity)


def require_best_checkpoint(
    position: Position,
    best: CheckpointFolder,
    copies: CheckpointFolder | None,
    *,
    like: dict[str, Tree],
    identity: RunIdentity,
) -> Position:
    """Check that the best parameters up to a position are intact, and return the position.

    If they are damaged, they are copied from ``copies`` if it has that step. If the folder was deleted, the best
    validation is chosen among those to come.

    Raises:
        CheckpointError: if they are lost: the results would be those of another step.
    """
    step = position.best_step
    if step is None:
        return position
    steps = [] if copies is None else copies.steps()
    if not best.steps() and step not in steps:
        warn(f"{best.folder} holds no checkpoint: the best one is sought from step {position.step + 1} on")
        return dataclasses.replace(position, best_step=None, best_valid_nats=None, since_best=0)
    try:
        if step not in best.steps():
            raise CheckpointError(f"the checkpoint {best.folder / str(step)} is missing")
        best.restore(like, identity, step)
    except UserError as error:
        what = str(error).split(": restore")[0]
        if copies is None or step not in steps:
            raise CheckpointError(
                f"{what}, and with it the best parameters so far: restore it from a copy, or delete {best.folder} to "
                "go on with the best from here on"
            ) from error
        trees, at = copies.restore(like, identity, step)
        warn(f"{what}: written again from {copies.folder / str(step)}")
        best.discard(step)
        best.save(trees, at, identity)
    return position


def discard_later_checkpoints(
    position: Position, last: CheckpointFolder, best: CheckpointFolder, *, validated: bool
) -> None:
    """Delete checkpoints beyond the position to resume from, and unfinished ones.

    They are damaged, or of steps that will be made again.

    Args:
        position: the position to resume from.
        last: the checkpoints to resume from.
        best: the best checkpoints.
        validated: whether the validation that is due at the position was made; if not, the checkpoints of that step
            are deleted, too.
    """
    latest = position.step if validated else position.step - 1
    for folder in (last, best):
        folder.discard(*(step for step in folder.steps() if step > latest))
    for folder in (last, best):
        folder.prepare()
