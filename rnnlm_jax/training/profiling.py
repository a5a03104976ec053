"""A trace of chosen steps, for TensorBoard's profile plugin or xprof."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax

from rnnlm_jax.errors import UserError


@dataclass(frozen=True)
class ProfiledSteps:
    """Which steps, the first and the last included, counted from 1 over the whole run."""

    first: int
    last: int


def parse_steps(text: str) -> ProfiledSteps:
    """The steps of ``10:20``, or ``10`` for one.

    Raises:
        UserError: if that is no such text.
    """
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise UserError(f"--profile-steps cannot be {text!r}: give the first and the last step, as in 10:20")
    first, last = int(parts[0]), int(parts[-1])
    if not 1 <= first <= last:
        raise UserError(f"--profile-steps cannot be {text!r}: steps are counted from 1, the first before the last")
    return ProfiledSteps(first, last)


class Profiler:
    """Traces some steps into a folder, from when the steps before are done until they themselves are."""

    def __init__(self, steps: ProfiledSteps, folder: Path):
        """Nothing is traced yet."""
        self.steps, self.folder = steps, folder
        self.done = False
        self._under_way = False

    def is_to_come(self, done: int, end: int) -> bool:
        """Whether any of the steps is after ``done`` and not beyond ``end``."""
        return done < self.steps.last and self.steps.first <= end

    @contextlib.contextmanager
    def step(self, step: int, finish: Callable[[], None]) -> Iterator[None]:
        """Around the dispatch of a step; ``finish`` waits for all steps under way."""
        if not self.done and not self._under_way and self.steps.first <= step <= self.steps.last:
            finish()
            jax.profiler.start_trace(self.folder)
            self._under_way = True
        if not self._under_way:
            yield
            return
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        if step == self.steps.last:
            finish()
            self.close()

    def close(self) -> None:
        """Write the trace, if one is under way."""
        if self._under_way:
            self._under_way, self.done = False, True
            jax.profiler.stop_trace()
