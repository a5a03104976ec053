"""Train models of sequences: blocks of compiled steps, measurements on new sequences between them, exact resuming."""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax.array_types import Bool, Int, Key
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.regularizers import regularizers_for
from rnnlm_jax.sequence_model.batches import Batches
from rnnlm_jax.sequence_model.description import describe_training
from rnnlm_jax.sequence_model.model import SequenceModel, SequenceParams
from rnnlm_jax.sequence_model.program import Program, SeedStates, make_program, no_steps, seed_numbers
from rnnlm_jax.sequence_model.run_record import RunRecord, open_record
from rnnlm_jax.sequence_model.scoring import Scores
from rnnlm_jax.sequence_model.settings import SequenceTraining, check_training
from rnnlm_jax.system.progress import token_bar
from rnnlm_jax.tasks import Objective
from rnnlm_jax.training.make_optimizer import make_optimizer
from rnnlm_jax.training.schedules import Length

#: Most steps in one call of the compiled program: between two calls, progress is shown and signals are noticed.
BLOCK = 100

#: Seconds between two checkpoints.
CHECKPOINT_SECONDS = 300.0


class CheckFn(Protocol):
    """A measurement of all seeds on sequences that are not those of training."""

    def __call__(self, params: SequenceParams, number: int, goes_on: Bool[np.ndarray, " S"], /) -> Scores:
        """Return the scores.

        Args:
            params: parameters of every seed, leaves ``[S, ...]``.
            number: number of the measurement, so that each can draw other sequences.
            goes_on: whether each seed's training goes on; the scores of the others are not read.
        """
        ...


class ReportFn(Protocol):
    """Shows the record of a measurement."""

    def __call__(self, record: dict[str, Any], /) -> object:
        """Show it."""
        ...


class Trained(NamedTuple):
    """Models of sequences after training, one for each seed."""

    model: SequenceModel
    params: SequenceParams
    """Leaves ``[S, ...]``."""
    seeds: tuple[int, ...]
    steps: int
    """Steps made."""
    ended_at: tuple[int | None, ...]
    """The step at which each seed reached the accuracy to stop at; None if it did not."""
    skipped: tuple[int, ...]
    """Steps of each seed that were skipped since loss or gradient was not finite."""
    history: tuple[dict[str, Any], ...]
    """The record of each measurement, with a list of one value for each seed."""
    seconds: float
    """Time of training and measurements."""

    def params_of(self, k: int) -> SequenceParams:
        """Return the parameters of the k-th seed."""
        return jax.tree.map(lambda leaf: leaf[k], self.params)


def train_sequence_model(
    model: SequenceModel,
    objective: Objective,
    batches: Batches,
    training: SequenceTraining,
    *,
    check: CheckFn | None = None,
    optimizer: optax.GradientTransformation | None = None,
    init: Callable[[Key], SequenceParams] | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    stop: StopRequest | None = None,
    report: ReportFn = lambda record: None,
    quiet: bool = True,
) -> Trained:
    """Train a model from several seeds at once.

    Args:
        model: the model.
        objective: its loss and what counts as right, such as a task.
        batches: the batches of training.
        training: how to train.
        check: measures the models every ``training.check_every`` steps, and says when a seed's training ends; None: the
            losses of training are all that is known.
        optimizer: any transformation of optax in place of that of ``training``; clipping is part of it.
        init: key -> initial parameters, in place of the model's own.
        run: folder for checkpoints and metrics; None: nothing is written.
        resume: go on with the run in the folder, as if it had not been stopped.
        stop: checked between two blocks of steps.
        report: called with the record of each measurement.
        quiet: whether to hide the progress bar.

    Returns:
        the trained models.

    Raises:
        ConfigError: if an option is unknown or impossible.
        CheckpointError: if the folder has another run, or cannot be read or written.
        Stopped: if asked to stop; all steps so far are saved if there is a folder.
    """
    check_training(training)
    seeds = tuple(range(training.seed, training.seed + training.seeds))
    length = Length.of_equal_epochs(steps=training.steps, steps_per_epoch=training.steps)
    rule = optimizer if optimizer is not None else make_optimizer(training.optimizer_config(), length).transform
    program = make_program(
        model,
        objective,
        batches,
        seeds=seeds,
        optimizer=rule,
        regularizers=regularizers_for(model.cell, training.regularize),
        init=init,
    )
    passed = {"given_optimizer": optimizer is not None, "given_init": init is not None}
    about = describe_training(model, objective, batches, training, **passed)
    with contextlib.nullcontext() if run is None else open_record(Path(run), about, resume=resume) as record:
        trainer = _Trainer(program, batches, training, seeds=seeds, check=check, record=record, report=report)
        trainer.run(StopRequest() if stop is None else stop, quiet=quiet)
    return trainer.result(model)


class _Trainer:
    """A training in progress."""

    def __init__(
        self,
        program: Program,
        batches: Batches,
        training: SequenceTraining,
        *,
        seeds: Sequence[int],
        check: CheckFn | None,
        record: RunRecord | None,
        report: ReportFn,
    ) -> None:
        self.program, self.batches, self.training, self.seeds = program, batches, training, seeds
        self.check, self.record, self.report = check, record, report
        self.states: SeedStates = program.init()
        self.numbers = seed_numbers(seeds)
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, Any]] = []
        if record is not None:
            self.states, position, self.history = record.restore(self.states)
            self.step, self.seconds = position.step, position.seconds
        self.saved = time.monotonic()

    def run(self, stop: StopRequest, *, quiet: bool) -> None:
        """Train to the end."""
        size, steps = self.batches.batch_size, self.training.steps
        bar = token_bar("training", steps * size, self.step * size, disable=quiet, unit="seq")
        with bar:
            while self.step < steps and not self._all_ended():
                began = time.monotonic()
                count = self._block_size()
                self._make_steps(count)
                bar.update(count * size)
                if self.step % self.training.check_every == 0 or self.step == steps:
                    bar.set_postfix_str(_shown(self._measure()), refresh=False)
                self.seconds += time.monotonic() - began
                is_over = self.step >= steps or self._all_ended()
                stops = not is_over and stop.before(self.step + 1)
                if is_over or stops or time.monotonic() - self.saved > CHECKPOINT_SECONDS:
                    self._save()
                if stops:
                    saved = "which is saved" if self.record is not None else "and nothing was to be saved"
                    raise Stopped(f"stopped by {stop.name} after step {self.step}, {saved}")

    def result(self, model: SequenceModel) -> Trained:
        """Return the trained models."""
        ended = [int(step) for step in np.asarray(self.states.ended_at)]
        return Trained(
            model=model,
            params=self.states.params,
            seeds=tuple(self.seeds),
            steps=self.step,
            ended_at=tuple(step if step >= 0 else None for step in ended),
            skipped=tuple(int(count) for count in np.asarray(self.states.skipped)),
            history=tuple(self.history),
            seconds=self.seconds,
        )

    def _all_ended(self) -> bool:
        return bool((np.asarray(self.states.ended_at) >= 0).all())

    def _block_size(self) -> int:
        """Return the number of steps up to the next measurement, at most ``BLOCK``."""
        every = self.training.check_every
        return min(BLOCK, self.training.steps - self.step, every - self.step % every)

    def _make_steps(self, count: int) -> None:
        """Make steps of the seeds whose training goes on, and of few others."""
        places = seeds_to_run(np.asarray(self.states.ended_at) >= 0)
        are_all = len(places) == len(self.seeds)
        items = jax.tree.map(
            lambda leaf: jnp.asarray(leaf[:, places]), self.batches.items(self.step, count, self.seeds)
        )
        steps = jnp.arange(self.step, self.step + count, dtype=jnp.int32)
        before = self.states if are_all else jax.tree.map(lambda leaf: leaf[places], self.states)
        after = self.program.block(before, self.numbers[places], self.batches.arrays, steps, items)
        if are_all:
            self.states = after
        else:
            self.states = jax.tree.map(lambda leaf, new: leaf.at[places].set(new), self.states, after)
        self.step += count

    def _measure(self) -> dict[str, Any]:
        """Measure all seeds, end the training of those that are accurate enough, and write the record."""
        goes_on = np.asarray(self.states.ended_at) < 0
        steps, loss, log_norm, largest = map(np.asarray, self.states.interval)
        self.states = self.states._replace(interval=no_steps((len(self.seeds),)))
        record: dict[str, Any] = {
            "step": self.step,
            "sequences": self.step * self.batches.batch_size,
            "train_loss": _of_seeds(loss / np.maximum(steps, 1), goes_on & (steps > 0)),
            "grad_norm": _of_seeds(np.exp(log_norm / np.maximum(steps, 1)), goes_on & (steps > 0)),
            "largest_grad_norm": _of_seeds(largest, goes_on & (steps > 0)),
        }
        if self.check is not None:
            scores = self.check(self.states.params, self.step, goes_on)
            record |= {"loss": _of_seeds(scores.loss, goes_on), "accuracy": _of_seeds(scores.accuracy, goes_on)}
            if self.training.stop_accuracy is not None:
                ends = goes_on & (scores.accuracy >= self.training.stop_accuracy)
                ended_at = jnp.where(ends, jnp.int32(self.step), self.states.ended_at)
                self.states = self.states._replace(ended_at=ended_at)
        record["skipped"] = [int(count) for count in np.asarray(self.states.skipped)]
        self.history.append(record)
        if self.record is not None:
            self.record.write(record)
        self.report(record)
        return record

    def _save(self) -> None:
        if self.record is not None:
            self.record.save(self.states, step=self.step, seconds=self.seconds)
            self.saved = time.monotonic()


def seeds_to_run(has_ended: Bool[np.ndarray, " S"]) -> Int[np.ndarray, " K"]:
    """Return the places of the seeds that steps are made for: all that have not ended, and some that have.

    Where seeds are an axis of ``vmap``, each number of them has a program of its own, so it is S, or S halved once or
    several times, rounded up. It depends on what has ended only, so that a resumed training runs the same programs.
    """
    count = len(has_ended)
    while count > 1 and -(-count // 2) >= (~has_ended).sum():
        count = -(-count // 2)
    return np.sort(np.argsort(has_ended, kind="stable")[:count])


def _of_seeds(values: np.ndarray, goes_on: np.ndarray) -> list[float | None]:
    """Return one number for each seed, None where its training has ended."""
    return [float(value) if on else None for value, on in zip(values, goes_on, strict=True)]


def _shown(record: dict[str, Any]) -> str:
    """Return the part of a record that a progress bar shows."""
    name = "accuracy" if "accuracy" in record else "train_loss"
    values = [value for value in record[name] if value is not None]
    return f"{name.replace('_', ' ')} {min(values):.3f} to {max(values):.3f}" if values else ""
