"""Synthetic sequence tasks: pure generators, and what it means to solve them; ``task.py`` is the contract.

task = tasks.parity()
inputs, targets, mask = task.sample(jax.random.key(0), 128, 40)     # [40, 128, 2], [40, 128], [40, 128]
task.mean_loss(outputs, sequences), task.accuracy(outputs, sequences)
"""

from collections.abc import Callable

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks.elman_sentences import elman_sentences, next_word_probs
from rnnlm_jax.tasks.flip_flop import flip_flop
from rnnlm_jax.tasks.lagged_symbols import no_regularities, noise_free_lag, random_permutation, very_long_lag
from rnnlm_jax.tasks.letter_streams import elman_letters, word_boundaries
from rnnlm_jax.tasks.marked_numbers import (
    adding,
    adding_problem,
    multiplication,
    pascanu_addition,
    pascanu_multiplication,
)
from rnnlm_jax.tasks.memorization import copy_memory, noiseless_memorization
from rnnlm_jax.tasks.mnist1d import mnist1d
from rnnlm_jax.tasks.objective import Judged, Objective, Sequences
from rnnlm_jax.tasks.own_objectives import classification, regression
from rnnlm_jax.tasks.reber import embedded_reber
from rnnlm_jax.tasks.state_tracking import cycle_navigation, modular_arithmetic, parity
from rnnlm_jax.tasks.task import Task
from rnnlm_jax.tasks.temporal_order import (
    pascanu_temporal_order,
    pascanu_temporal_order_3,
    temporal_order,
    temporal_order_3,
)
from rnnlm_jax.tasks.temporal_xor import temporal_xor
from rnnlm_jax.tasks.two_sequence import two_sequence

#: Every task by name; a factory's arguments are options of the task, and have defaults.
TASKS: dict[str, Callable[..., Task]] = {
    "temporal-xor": temporal_xor,
    "elman-letters": elman_letters,
    "word-boundaries": word_boundaries,
    "elman-sentences": elman_sentences,
    "embedded-reber": embedded_reber,
    "noise-free-lag": noise_free_lag,
    "no-regularities": no_regularities,
    "very-long-lag": very_long_lag,
    "two-sequence": two_sequence,
    "adding": adding,
    "multiplication": multiplication,
    "temporal-order": temporal_order,
    "temporal-order-3": temporal_order_3,
    "pascanu-temporal-order": pascanu_temporal_order,
    "pascanu-temporal-order-3": pascanu_temporal_order_3,
    "pascanu-addition": pascanu_addition,
    "pascanu-multiplication": pascanu_multiplication,
    "random-permutation": random_permutation,
    "noiseless-memorization": noiseless_memorization,
    "copy-memory": copy_memory,
    "adding-problem": adding_problem,
    "flip-flop": flip_flop,
    "parity": parity,
    "modular-arithmetic": modular_arithmetic,
    "cycle-navigation": cycle_navigation,
    "mnist1d": mnist1d,
}

__all__ = [
    "TASKS",
    "Judged",
    "Objective",
    "Sequences",
    "Task",
    "adding",
    "adding_problem",
    "classification",
    "copy_memory",
    "cycle_navigation",
    "elman_letters",
    "elman_sentences",
    "embedded_reber",
    "flip_flop",
    "make",
    "mnist1d",
    "modular_arithmetic",
    "multiplication",
    "names",
    "next_word_probs",
    "no_regularities",
    "noise_free_lag",
    "noiseless_memorization",
    "parity",
    "pascanu_addition",
    "pascanu_multiplication",
    "pascanu_temporal_order",
    "pascanu_temporal_order_3",
    "random_permutation",
    "regression",
    "temporal_order",
    "temporal_order_3",
    "temporal_xor",
    "two_sequence",
    "very_long_lag",
    "word_boundaries",
]


def make(name: str, **options: int | float | str) -> Task:
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
