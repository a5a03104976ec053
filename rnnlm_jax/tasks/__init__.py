"""Synthetic sequence tasks: pure generators, and what it means to solve them; ``task.py`` is the contract.

task = tasks.parity()
inputs, targets, mask = task.sample(jax.random.key(0), 128, 40)     # [40, 128, 2], [40, 128], [40, 128]
task.mean_loss(outputs, sequences), task.accuracy(outputs, sequences)
"""

from collections.abc import Callable

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks.objective import Judged, Objective, Sequences
from rnnlm_jax.tasks.own_objectives import classification, regression
from rnnlm_jax.tasks.state_tracking import cycle_navigation, modular_arithmetic, parity
from rnnlm_jax.tasks.task import Task

__all__ = [
    "TASKS",
    "Judged",
    "Objective",
    "Sequences",
    "Task",
    "classification",
    "cycle_navigation",
    "make",
    "modular_arithmetic",
    "names",
    "parity",
    "regression",
]

#: Every task by name; a factory's arguments are options of the task, and have defaults.
TASKS: dict[str, Callable[..., Task]] = {
    "parity": parity,
    "modular-arithmetic": modular_arithmetic,
    "cycle-navigation": cycle_navigation,
}


def make(name: str, **options: int) -> Task:
    """Return the task of a name.

    Raises:
        ArgumentError: for an unknown name or option, or an impossible value.
    """
    if name not in TASKS:
        raise ArgumentError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name](**options)


def names() -> tuple[str, ...]:
    """Return the names of all tasks."""
    return tuple(TASKS)
