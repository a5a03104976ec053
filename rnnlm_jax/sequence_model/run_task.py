"""Train models on a task until it is solved, and test them on new sequences, of other lengths too."""

import dataclasses
import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optax

from rnnlm_jax.array_types import Bool, Key
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.config import option
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.stopping import StopRequest
from rnnlm_jax.sequence_model.batches import TaskBatches
from rnnlm_jax.sequence_model.model import SequenceModel, SequenceParams
from rnnlm_jax.sequence_model.scoring import Scores, score_task
from rnnlm_jax.sequence_model.settings import SequenceTraining
from rnnlm_jax.sequence_model.train import ReportFn, Trained, train_sequence_model
from rnnlm_jax.tasks import Task
from rnnlm_jax.tasks.task import check_sample_sizes


@dataclass(frozen=True)
class TaskRun:
    """Sizes of a training on a task and of its tests."""

    batch_size: int = option(32, "sequences in a batch (B)", advanced=False)
    length: int | None = option(
        None, "length of the sequences, in the task's measure; none: that of the published experiment", advanced=False
    )
    test_sequences: int = option(10_000, "new sequences of each test")
    test_lengths: tuple[int, ...] = option(
        (), "lengths to test at, separated by commas, besides that of training", advanced=False
    )
    stop_when_solved: bool = option(True, "end a seed's training when the task is solved; else all steps are made")


@dataclass(frozen=True)
class TaskResult:
    """Models trained on a task, and their tests."""

    task: Task
    length: int
    batch_size: int
    trained: Trained
    tests: dict[int, Scores]
    """Length -> scores of each seed on new sequences of it."""

    @property
    def solved(self) -> tuple[bool, ...]:
        """Whether each seed's model solves the task on the new sequences of the test."""
        return tuple(bool(right >= self.task.solved_accuracy) for right in self.tests[self.length].accuracy)

    @property
    def sequences_until_solved(self) -> tuple[int | None, ...]:
        """The sequences of training after which each seed's measurement, and then its test, found the task solved.

        None for a seed that has not solved it. Measurements are made every ``check_every`` steps only.
        """
        if self.trained.history and "accuracy" in self.trained.history[0]:
            first = [self._first_solved(k) for k in range(len(self.trained.seeds))]
            return tuple(count if solved else None for count, solved in zip(first, self.solved, strict=True))
        return tuple(None for _ in self.trained.seeds)

    def _first_solved(self, k: int) -> int | None:
        for record in self.trained.history:
            accuracy = record["accuracy"][k]
            if accuracy is not None and accuracy >= self.task.solved_accuracy:
                return record["sequences"]
        return None

    def summary(self) -> dict[str, Any]:
        """Return the figures by name, as JSON has them; lists have one value for each seed."""
        counts = [count for count in self.sequences_until_solved if count is not None]
        return {
            "task": self.task.name,
            "source": self.task.source,
            "length": self.length,
            "judged": self.task.judged.value,
            "solved_accuracy": self.task.solved_accuracy,
            "chance_accuracy": self.task.chance_accuracy,
            "chance_loss": self.task.chance_loss(self.length),
            "batch_size": self.batch_size,
            "seeds": list(self.trained.seeds),
            "steps": self.trained.steps,
            "seconds": round(self.trained.seconds, 1),
            "solved": list(self.solved),
            "success": sum(self.solved) / len(self.solved),
            "sequences_until_solved": list(self.sequences_until_solved),
            "median_sequences_until_solved": statistics.median(counts) if counts else None,
            "skipped_steps": list(self.trained.skipped),
            "tests": {
                str(length): {
                    "sequences": scores.sequences,
                    "error": [float(1 - right) for right in scores.accuracy],
                    "loss": [float(loss) for loss in scores.loss],
                }
                for length, scores in self.tests.items()
            },
        }


def run_task(
    model: SequenceModel,
    task: Task,
    sizes: TaskRun,
    training: SequenceTraining,
    *,
    optimizer: optax.GradientTransformation | None = None,
    init: Callable[[Key], SequenceParams] | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    stop: StopRequest | None = None,
    report: ReportFn = lambda record: None,
    quiet: bool = True,
) -> TaskResult:
    """Train a model on a task from several seeds, and test each on new sequences.

    Args:
        model: the model.
        task: the task.
        sizes: sizes of training and tests.
        training: how to train; its ``stop_accuracy`` is that of the task, unless it has one or training is not to stop.
        optimizer, init, run, resume, stop, report, quiet: see ``train_sequence_model``.

    Returns:
        the trained models with their scores.

    Raises:
        ArgumentError: if a length is too short for the task.
        ConfigError, CheckpointError, Stopped: as ``train_sequence_model``.
    """
    length = task.default_length if sizes.length is None else sizes.length
    check_size("test_sequences", sizes.test_sequences)
    for name, each in (("length", length), *(("test_lengths", each) for each in sizes.test_lengths)):
        try:
            check_sample_sizes(sizes.batch_size, each, shortest=task.shortest_length, longest=task.longest_length)
        except ArgumentError as error:
            raise ArgumentError(str(error).replace("`length`", f"`{name}`")) from None
    if sizes.stop_when_solved and training.stop_accuracy is None:
        training = dataclasses.replace(training, stop_accuracy=task.solved_accuracy)

    seeds = tuple(range(training.seed, training.seed + training.seeds))

    def check(params: SequenceParams, number: int, goes_on: Bool[np.ndarray, " S"]) -> Scores:
        measured = functools.partial(score_task, model, task, params, seeds=seeds, length=length, draw=number)
        scores, enough = measured(count=training.check_sequences), training.stop_accuracy
        if enough is not None and bool((goes_on & (scores.accuracy >= enough)).any()):
            return measured(count=max(sizes.test_sequences, training.check_sequences))  # few sequences may flatter
        return scores

    trained = train_sequence_model(
        model,
        task,
        TaskBatches(task, sizes.batch_size, length),
        training,
        check=check,
        optimizer=optimizer,
        init=init,
        run=run,
        resume=resume,
        stop=stop,
        report=report,
        quiet=quiet,
    )
    lengths = dict.fromkeys((length, *sizes.test_lengths))
    tests = {
        each: score_task(
            model, task, trained.params, seeds=trained.seeds, length=each, count=sizes.test_sequences, draw=0
        )
        for each in lengths
    }
    return TaskResult(task, length, sizes.batch_size, trained, tests)
