"""One training of the study: several seeds at once, until the task is solved, and their tests."""

import math
from pathlib import Path
from typing import Any

from experiments.every_cell import count
from experiments.pascanu_2013.networks import initial_params, make_cell
from experiments.pascanu_2013.plan import Recipe, Training
from rnnlm_jax import tasks
from rnnlm_jax.jobs.stopping import StopRequest
from rnnlm_jax.sequence_model import TaskResult, TaskRun, model_for, run_task, score_task
from rnnlm_jax.sequence_model.run_files import SequenceRunFolder
from rnnlm_jax.training.results import environment

#: Most points of the figures through training that are kept.
POINTS = 25


def train(
    training: Training, recipe: Recipe, folder: Path | None = None, *, stop: StopRequest | None = None
) -> dict[str, Any]:
    """Train a model from all seeds, and return its result as JSON has it.

    Args:
        training: what is trained.
        recipe: how.
        folder: folder of checkpoints, from which a training that was stopped goes on; None: none are written.
        stop: checked between steps.

    Raises:
        Stopped: if asked to stop; all steps so far are saved if there is a folder.
    """
    task = tasks.make(training.task, **dict(training.task_options))
    model = model_for(task, make_cell(training.network, recipe.hidden_size), executor="structured")
    result = run_task(
        model,
        task,
        TaskRun(batch_size=recipe.batch_size, length=training.length, test_sequences=recipe.test_sequences),
        training.options(recipe),
        init=initial_params(training.network, model),
        run=folder,
        resume=folder is not None and SequenceRunFolder(folder).exists(),
        stop=stop,
        quiet=False,
    )
    found = result.summary()
    return {
        **training._asdict(),
        "name": training.name,
        "task_options": dict(training.task_options),
        "most_steps": training.most_steps(recipe),
        "parameters": count(result.trained.params_of(0)),
        "recipe": recipe.recorded(),
        **{key: found[key] for key in KEPT},
        "long_tests": long_tests(result, recipe) if training.is_range else {},
        "history": thinned(result),
        "environment": environment(),
    }


#: Figures of a result of ``run_task`` that are kept.
KEPT = (
    *("steps", "seconds", "seeds", "solved", "sequences_until_solved", "median_sequences_until_solved"),
    *("skipped_steps", "chance_accuracy", "tests"),
)


def long_tests(result: TaskResult, recipe: Recipe) -> dict[str, list[float]]:
    """Return the error of each seed on new sequences of single lengths, by length."""
    fixed = tasks.make(result.task.name)
    trained, errors = result.trained, {}
    for length in recipe.long_lengths:
        scores = score_task(
            trained.model, fixed, trained.params, seeds=trained.seeds, length=length, count=recipe.test_sequences
        )
        errors[str(length)] = [1 - float(right) for right in scores.accuracy]
    return errors


def thinned(result: TaskResult) -> dict[str, list[Any]]:
    """Return figures of each seed through training, of at most ``POINTS`` intervals.

    Each has the sequences up to its end, the geometric mean and the largest of the gradient norms in it (before
    clipping), and the error at its end; None where a seed's training had ended.
    """
    history = result.trained.history
    seeds, size = range(len(result.trained.seeds)), -(-len(history) // POINTS)
    parts = [history[k : k + size] for k in range(0, len(history), size)]

    def each(part: tuple[dict[str, Any], ...], name: str, combine: Any) -> list[float | None]:
        values = [[record[name][k] for record in part if record[name][k] is not None] for k in seeds]
        return [rounded(combine(found)) if found else None for found in values]

    return {
        "sequences": [part[-1]["sequences"] for part in parts],
        "grad_norm": [each(part, "grad_norm", geometric_mean) for part in parts],
        "largest_grad_norm": [each(part, "largest_grad_norm", max) for part in parts],
        "error": [each(part, "accuracy", lambda values: 1 - values[-1]) for part in parts],
    }


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean of numbers that are not negative."""
    return math.exp(sum(map(math.log, values)) / len(values)) if min(values) > 0 else 0.0


def rounded(value: float) -> float:
    """Return a number with four significant digits."""
    return float(f"{value:.4g}")
