"""What the wall time of a run is used for, across restarts: goodput, and the shares of everything else."""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import jax

from rnnlm_jax.training.metrics import complete_lines
from rnnlm_jax.training.step_clock import StepTime

Item = TypeVar("Item")

#: What a process does between two steps.
Activity = Literal["startup", "steps", "input", "validation", "spectra", "checkpoint", "metrics"]
#: An activity in words, for messages about the main thread.
WORDS: dict[Activity, str] = {
    "startup": "starts",
    "steps": "dispatches a step or waits for the device",
    "input": "waits for the next batch",
    "validation": "evaluates validation text",
    "spectra": "measures spectra",
    "checkpoint": "waits for a checkpoint to be written",
    "metrics": "waits for a metrics writer",
}
#: The uses of time that are summed; the rest of the wall time is "other".
USES = ("steps", "input", "validation", "spectra", "checkpoint", "startup", "lost")
_COMPILED = "/jax/core/compile/backend_compile_duration"


class TimeUse:
    """Sums the wall time of a run by use.

    Goodput is the share of a run's wall time that was spent in steps whose result is kept (the runtime goodput of
    Wongpanich et al. 2025, "Machine learning fleet efficiency"). The wall time is that of all processes that have
    trained the run one after the other, from the start of each to its last sign of life. It is the sum of:

    - steps: from the end of one step to the end of the next, without waiting for input and compilation (``StepTime``);
    - input: the device was idle because the next batch was not ready;
    - validation: evaluation of validation and test text;
    - spectra: the measurements of ``log_spectrum``, compilation included;
    - checkpoint: the main thread waited for a checkpoint to be copied or committed;
    - startup: from the start of a process to the end of its first step, and compilation in later steps;
    - lost: time between the checkpoint from which a run was resumed and the last line of metrics of the process before,
      whatever that process did then, since its steps are made again;
    - other: the rest, such as writing metrics while no step runs.

    Time in which no process ran is not wall time; it is reported beside it. What a process does after its last line of
    metrics cannot be known when it is killed, and counts as time in which none ran.

    Attributes:
        activity: what the main thread does now.
    """

    def __init__(self) -> None:
        """Start the clock of this process."""
        self.activity: Activity = "startup"
        self._started = time.perf_counter()
        self._begun = self._started_at = time.time()
        self._sums = dict.fromkeys(USES, 0.0)
        self._before = 0.0  # wall time of earlier processes
        self._nested = 0.0  # time of ``during`` blocks that have ended inside the current one
        self._until_request: float | None = None  # time of this process before its first batch
        self._has_stepped = False
        self._compiled = 0.0
        self._listens = False

    def describe(self) -> str:
        """Return what the main thread does now, in words."""
        return WORDS[self.activity]

    def close(self) -> None:
        """Stop listening to the compiler, after the last step."""
        if self._listens:
            jax.monitoring.unregister_event_duration_listener(self._listen)
            self._listens = False

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == _COMPILED and self.activity == "steps":
            self._compiled += duration_secs

    def resume(self, sums: dict[str, float] | None, last_seconds_running: float | None) -> None:
        """Continue the sums of the processes before.

        Args:
            sums: ``sums()`` at the checkpoint from which training resumes; None if it starts from the beginning.
            last_seconds_running: ``seconds_running`` of the last line of metrics that the process before has written;
                None if it is unknown.
        """
        found = dict(sums or {})
        begun = found.pop("begun", None)
        running = sum(found.values())
        lost = max((last_seconds_running or 0.0) - running, 0.0)
        self._before = running + lost
        for use in USES:
            self._sums[use] += found.get(use, 0.0)
        self._sums["lost"] += lost
        self._begun = self._started_at - self._before if begun is None else begun

    @contextlib.contextmanager
    def during(self, activity: Activity) -> Iterator[None]:
        """Add the time of a block to a use, without that of such blocks inside it."""
        before, self.activity = self.activity, activity
        started, nested, self._nested = time.perf_counter(), self._nested, 0.0
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            if activity in self._sums:
                self._sums[activity] += seconds - self._nested
            self._nested = nested + seconds
            self.activity = before

    def inputs(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield batches; the main thread waits for input until it has one, and then makes a step."""
        self._until_request = self._before_first_step()
        if not self._listens:
            jax.monitoring.register_event_duration_secs_listener(self._listen)
            self._listens = True
        iterator = iter(batches)
        while True:
            self.activity = "input"
            try:
                batch = next(iterator)
            except StopIteration:
                return
            finally:
                self.activity = "steps"
            yield batch

    def add_step(self, step: StepTime) -> None:
        """Add a step that has ended."""
        if not self._has_stepped:  # it includes tracing and compilation
            self._has_stepped = True
            self._sums["startup"] += self._before_first_step() + step.seconds
            self._compiled = 0.0
        else:
            compiled = min(self._compiled, step.seconds - step.waited)
            self._compiled -= compiled
            self._sums["startup"] += compiled
            self._sums["input"] += step.waited
            self._sums["steps"] += step.seconds - step.waited - compiled

    def _before_first_step(self) -> float:
        """Return the time from the start of this process to its first request for a batch, or up to now."""
        if self._until_request is not None:
            return self._until_request
        return max(time.perf_counter() - self._started - self._nested, 0.0)

    @property
    def seconds_running(self) -> float:
        """Wall time of the run so far, in seconds."""
        return self._before + time.perf_counter() - self._started

    def sums(self) -> dict[str, float]:
        """Return the seconds of each use, whose sum is ``seconds_running``, and when the run began, in Unix time."""
        found = dict(self._sums)
        if not self._has_stepped:
            found["startup"] += self._before_first_step()
        other = max(self.seconds_running - sum(found.values()), 0.0)
        return found | {"other": other, "begun": self._begun}

    def figures(self) -> dict[str, float]:
        """Return goodput, the shares of all other uses, and the seconds in which the run was running and was not."""
        found = self.sums()
        begun = found.pop("begun")
        running = sum(found.values())
        shares = {use: seconds / max(running, 1e-9) for use, seconds in found.items()}
        down = max(self._started_at - begun - self._before, 0.0)
        return (
            {"goodput": shares.pop("steps")}
            | {f"time_share_{use}": share for use, share in shares.items()}
            | {"seconds_running": running, "seconds_down": down}
        )


def describe_time_use(figures: dict[str, float]) -> str:
    """Return ``TimeUse.figures`` as a line, the largest shares first; shares below 0.05 % are left out."""
    shares = {name.removeprefix("time_share_"): share for name, share in figures.items() if name.startswith("time_")}
    rest = sorted(((share, use) for use, share in shares.items() if share >= 0.0005), reverse=True)
    parts = [f"{100 * figures['goodput']:.1f} % in steps (goodput)"]
    parts += [f"{100 * share:.1f} % {_NOUNS.get(use, use)}" for share, use in rest]
    down = f", {figures['seconds_down'] / 60:.1f} more without a process" if figures["seconds_down"] >= 30 else ""
    return f"{figures['seconds_running'] / 60:.1f} minutes{down}: {', '.join(parts)}"


_NOUNS = {
    "input": "waiting for input",
    "checkpoint": "checkpoints",
    "startup": "start-up and compilation",
    "lost": "lost to restarts",
}


def last_seconds_running(metrics: Path) -> float | None:
    """Return ``seconds_running`` of the last complete line of a metrics file; None if it has none or is damaged."""
    try:
        value = json.loads(complete_lines(metrics)[-1])["seconds_running"]
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None
