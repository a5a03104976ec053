"""Training of language models: the compiled step for loops of one's own, and the trainer of the command line.

``make_train_step`` and ``initial_train_state`` take any optimiser of optax. ``training.train`` has the trainer: text,
validation, checkpoints, resuming. ``docs/training-loop.md`` shows both.
"""

from rnnlm_jax.training.averaging import ExponentialAverage, PlateauAverage, TriggeredAverage
from rnnlm_jax.training.row_updates import by_rows
from rnnlm_jax.training.step import StepInfo, TrainStep, make_train_step
from rnnlm_jax.training.train_state import TrainState, initial_train_state

__all__ = [
    "ExponentialAverage",
    "PlateauAverage",
    "StepInfo",
    "TrainState",
    "TrainStep",
    "TriggeredAverage",
    "by_rows",
    "initial_train_state",
    "make_train_step",
]
