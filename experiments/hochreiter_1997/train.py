"""Train the network of one experiment from several seeds, and test it on new sequences."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.hochreiter_1997.conditions import PRESENT_DAY, PUBLISHED, Experiment
from experiments.hochreiter_1997.networks import PresentDay, make_network
from experiments.hochreiter_1997.task_variants import GRAMMAR, SECOND_SYMBOL, all_of_training, part_of_reber
from rnnlm_jax.jobs.stopping import StopRequest
from rnnlm_jax.sequence_model import Scores, SequenceTraining, TaskRun, run_task, score_task
from rnnlm_jax.sequence_model.run_files import SequenceRunFolder
from rnnlm_jax.training.results import environment


@dataclass(frozen=True)
class Settings:
    """What all experiments have in common."""

    seeds: int = 10
    seed: int = 0
    check_sequences: int = 256
    """Sequences of a measurement during training; if it finds a network good enough, all of a test are measured."""
    test_sequences: int = 10_000
    short_test: int = 2560
    """Sequences of the paper's tests of experiments 3 to 6."""
    present_day: PresentDay = field(default=PresentDay())
    longest: int | None = None
    """Sequences are shortened to this, where the task has them so short; for a trial."""
    most: int | None = None
    """Sequences of training, at most, in place of those of the recipe; for a trial."""

    def most_sequences(self, experiment: Experiment, method: str) -> int:
        """Return the most sequences of training of a network."""
        return self.most or (experiment.most if method == PUBLISHED else self.present_day.most)

    def length(self, experiment: Experiment) -> int:
        """Return the length of an experiment."""
        if self.longest is None:
            return experiment.length
        return min(experiment.length, max(self.longest, experiment.make_task("published").shortest_length))

    def recorded(self, experiment: Experiment, method: str, kind: str) -> dict[str, Any]:
        """Return all that fixes a result, as JSON has it."""
        about = asdict(self) | {"experiment": asdict(experiment), "method": method, "network": kind}
        return json.loads(json.dumps(about))


#: A trial of a few steps.
QUICK = Settings(seeds=2, check_sequences=16, test_sequences=64, short_test=64, longest=20, most=64)

#: Seconds of one CPU core for a step of time of one sequence from each of 10 seeds.
STEP_SECONDS = {PUBLISHED: 2e-6, PRESENT_DAY: 6e-6}


def expected_seconds(experiment: Experiment, method: str, kind: str, settings: Settings) -> float:
    """Return the time that a training takes if it makes all its steps."""
    del kind
    steps = settings.most_sequences(experiment, method) * settings.length(experiment)
    return STEP_SECONDS[method] * steps


#: Shows the steps made and the records of measurements.
ReportFn = Callable[[dict[str, Any]], object]


def train_and_test(
    experiment: Experiment,
    method: str,
    kind: str,
    settings: Settings,
    run: Path | None = None,
    *,
    stop: StopRequest | None = None,
    report: ReportFn = lambda record: None,
) -> dict[str, Any]:
    """Return the result of a network on an experiment.

    Args:
        experiment: the experiment.
        method: "published" or "present-day".
        kind: "lstm" or "elman".
        settings: sizes.
        run: folder of the checkpoints, from which an interrupted training goes on; None: none are written.
        stop: checked between two blocks of steps.
        report: called with the record of each measurement.

    Raises:
        CheckpointError: if the folder has another training.
        Stopped: if asked to stop.
    """
    network = make_network(experiment, method, kind, settings.present_day)
    length = settings.length(experiment)
    steps = settings.most_sequences(experiment, method) // network.batch_size
    training = SequenceTraining(
        steps=steps,
        seeds=settings.seeds,
        seed=settings.seed,
        check_every=min(network.every, steps),
        check_sequences=settings.check_sequences,
        stop_accuracy=experiment.stop_accuracy,
        learning_rate=network.learning_rate,
    )
    found = run_task(
        network.model,
        network.task,
        TaskRun(network.batch_size, length, settings.test_sequences),
        training,
        optimizer=network.optimizer,
        init=network.init,
        run=run,
        resume=run is not None and SequenceRunFolder(run).exists(),
        stop=stop,
        report=report,
    )
    trained = found.trained
    sequences = [None if step is None else step * network.batch_size for step in trained.ended_at]
    solved = [count is not None for count in sequences]
    counts = [count for count in sequences if count is not None]

    def test(task: Any, count: int, draw: int) -> Scores:
        return score_task(
            network.model, task, trained.params, seeds=trained.seeds, length=length, count=count, draw=draw
        )

    short = test(network.task, settings.short_test, 1)
    tests = {"test": _test(found.tests[length]), "short_test": _test(short)}
    if experiment.name == "1":
        fresh = experiment.make_task(method, strings=0)
        for name, task in {
            "training_strings": all_of_training(network.task),
            "new_strings": fresh,
            "new_strings_grammar": part_of_reber(fresh, GRAMMAR),
            "new_strings_second_symbol": part_of_reber(fresh, SECOND_SYMBOL),
        }.items():
            tests[name] = _test(test(task, settings.test_sequences, 0))
    return {
        "name": experiment.name,
        "method": method,
        "network": kind,
        "recipe": settings.recorded(experiment, method, kind),
        "length": length,
        "weights": network.count_weights(),
        "batch_size": network.batch_size,
        "most": steps * network.batch_size,
        "seeds": list(trained.seeds),
        "solved": solved,
        "success": sum(solved) / len(solved),
        "sequences_until_solved": sequences,
        "mean_sequences_until_solved": float(np.mean(counts)) if counts else None,
        "tests": tests,
        "skipped_steps": list(trained.skipped),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "environment": environment(),
    }


def _test(scores: Scores) -> dict[str, Any]:
    return {
        "sequences": scores.sequences,
        "wrong": [int(count) for count in scores.judged - scores.right],
        "loss": [float(loss) for loss in scores.loss],
    }
