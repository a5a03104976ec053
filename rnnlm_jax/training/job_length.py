"""Length of a training job, and when it validates and saves."""

import functools
import time
from collections.abc import Callable

from rnnlm_jax.config import TrainingConfig
from rnnlm_jax.jobs.checkpoints import Position
from rnnlm_jax.jobs.distributed import from_primary
from rnnlm_jax.training.rhythm import Every, parse_period
from rnnlm_jax.training.schedules import Length

#: Unit of a period of checkpoints, in seconds.
MINUTE = 60.0


def valid_period(config: TrainingConfig) -> Every:
    """Return the period of validations.

    Raises:
        ConfigError: if the configuration does not state one.
    """
    return parse_period("valid_every", config.valid_every, ("step", "epoch"))


def checkpoint_period(config: TrainingConfig) -> Every:
    """Return the period of checkpoints.

    Raises:
        ConfigError: if the configuration does not state one.
    """
    return parse_period("checkpoint_every", config.checkpoint_every, ("step", "minute"))


class JobLength:
    """Length of a job in steps or epochs, and its validations."""

    def __init__(self, config: TrainingConfig, batch_count: Callable[[int], int]):
        """Store the length that a configuration states.

        Args:
            config: the configuration.
            batch_count: epoch, from 0 -> number of its batches.
        """
        self.steps, self.epochs = config.steps, config.epochs
        self._batch_count = functools.lru_cache(2)(batch_count)  # asked for after every step
        self._validate = valid_period(config)

    def batches(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        return self._batch_count(epoch)

    @functools.cached_property
    def total(self) -> Length:
        """The length in steps, for schedules."""
        ends: list[int] = []
        while len(ends) < self.epochs if self.steps is None else not ends or ends[-1] < self.steps:
            ends.append((ends[-1] if ends else 0) + self._batch_count(len(ends)))
        steps = ends[-1] if self.steps is None else self.steps
        equal = len({end - start for start, end in zip([0, *ends], ends, strict=False)}) == 1
        return Length(steps, tuple(ends[:1] if equal else ends))

    def epochs_done(self, position: Position) -> float:
        """Return the number of epochs done, with the part of the current one."""
        return position.epoch + (position.batch / self._batch_count(position.epoch) if position.batch else 0)

    def is_reached(self, position: Position) -> bool:
        """Return whether a position is at the end of the job, or beyond."""
        return position.epoch >= self.epochs if self.steps is None else position.step >= self.steps

    def wants_validation(self, position: Position) -> bool:
        """Return whether the position, just after a step, is one to validate at."""
        if self.is_reached(position):
            return True
        if self._validate.unit == "epoch":
            return position.batch == 0 and position.epoch % self._validate.count == 0
        return position.step % self._validate.count == 0


class CheckpointTimer:
    """Decides after which steps to save: every so many steps, or minutes.

    Processes of a job save together. So minutes are measured by the first process, at steps that all of them know: it
    estimates from the steps so far at which one to look at the clock again.
    """

    def __init__(self, period: Every, step: int):
        """Start to count at a step."""
        self._period = period
        self.saved(step)

    def saved(self, step: int) -> None:
        """Count anew from a step, after which a checkpoint was saved."""
        self._step, self._time = step, time.monotonic()
        self._look_at = step + 1

    def is_due(self, step: int) -> bool:
        """Return whether to save after a step; all processes must call this after every step."""
        if self._period.unit == "step":
            return step % self._period.count == 0
        if step < self._look_at:
            return False
        elapsed, wanted = time.monotonic() - self._time, self._period.count * MINUTE
        done = step - self._step
        # at most twice the steps so far: the first ones, which compile, are slow
        ahead = min(max(int(done * (wanted - elapsed) / max(elapsed, 1e-9)), 1), done) if elapsed < wanted else 0
        ahead = int(from_primary(str(ahead)))
        self._look_at = step + ahead
        return ahead == 0
