"""Profiler traces of chosen steps, for TensorBoard's profile plugin or xprof."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax

from rnnlm_jax.errors import ConfigError


@dataclass(frozen=True)
class ProfiledSteps:
    """The first and the last step to trace, both included, counted from 1 over the whole run."""

    first: int
    last: int


def parse_steps(text: str) -> ProfiledSteps:
    """Parse ``10:20``, or ``10`` for one step.

    Raises:
        ConfigError: if the text has another form.
    """
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ConfigError(f"`profile_steps` cannot be {text!r}: give the first and the last step, as in 10:20")
    first, last = int(parts[0]), int(parts[-1])
    if not 1 <= first <= last:
        raise ConfigError(f"`profile_steps` cannot be {text!r}: steps are counted from 1, the first before the last")
    return ProfiledSteps(first, last)


class Profiler:
    """Traces some steps into a folder, from the end of the step before the first to the end of the last."""

    def __init__(self, steps: ProfiledSteps, folder: Path):
        """Store the steps and the folder; ``step`` starts the trace."""
        self.steps, self.folder = steps, folder
        self.done = False
        self._tracing = False

    def overlaps(self, done: int, end: int) -> bool:
        """Return whether any of the steps to trace is in ``done + 1 … end``."""
        return done < self.steps.last and self.steps.first <= end

    @contextlib.contextmanager
    def step(self, step: int, finish: Callable[[], None]) -> Iterator[None]:
        """Trace the dispatch of a step in the block, if it is one of the steps to trace.

        Args:
            step: the number of the step.
            finish: waits until all dispatched steps have ended.
        """
        if not self.done and not self._tracing and self.steps.first <= step <= self.steps.last:
            finish()
            jax.profiler.start_trace(self.folder)
            self._tracing = True
        if not self._tracing:
            yield
            return
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        if step == self.steps.last:
            finish()
            self.close()

    def close(self) -> None:
        """Write the trace, if there is one."""
        if self._tracing:
            self._tracing, self.done = False, True
            jax.profiler.stop_trace()
