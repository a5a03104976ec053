"""What follows from a validation: the best step, the learning rate, averaging, and whether training ends."""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.config import TrainingConfig
from rnnlm_jax.jobs.checkpoints import Position
from rnnlm_jax.training.averaging import Average, activated
from rnnlm_jax.training.make_optimizer import Optimizer
from rnnlm_jax.training.plateau import PlateauState, plateau_states
from rnnlm_jax.training.train_state import TrainState


class ValidationResults:
    """Decisions by validation losses; those that a resumed run needs are in the training state and the position."""

    def __init__(self, config: TrainingConfig, optimizer: Optimizer, average: Average | None):
        """Store what decides; ``read`` must follow."""
        self._patience, self._optimizer, self._average = config.early_stop, optimizer, average
        self._scale, self._has_ended, self._is_averaging = 1.0, False, False

    def read(self, state: TrainState) -> None:
        """Read what the training state says about the learning rate and averaging."""
        for found in plateau_states(state.opt_state):
            self._scale, self._has_ended = float(found.scale), bool(found.has_ended)
        self._is_averaging = state.average is not None and bool(state.average.is_active)

    def learning_rate(self, step: int, skipped: int) -> float | None:
        """Return the learning rate of a step; None if it is not known.

        Args:
            step: number of the step, from 1.
            skipped: steps up to it that made no update.
        """
        rate = self._optimizer.learning_rate
        return None if rate is None else self._scale * rate.at(max(step - 1 - skipped, 0))

    def evaluated_params(self, state: TrainState) -> tuple[bool, Tree]:
        """Return whether the average of the parameters is evaluated, and the parameters to evaluate."""
        if state.average is not None and self._is_averaging:
            return True, state.average.params
        return False, state.params

    def after(self, position: Position, nats: float) -> tuple[Position, bool]:
        """Return the position after a validation, and whether that is the best one so far.

        Args:
            position: the position.
            nats: the loss in nats per token.
        """
        improved = position.best_valid_nats is None or nats < position.best_valid_nats
        return dataclasses.replace(
            position,
            nats=0.0,
            tokens=0,
            validated=True,
            valid_nats=(*position.valid_nats, nats),
            best_valid_nats=nats if improved and math.isfinite(nats) else position.best_valid_nats,
            best_step=position.step if improved else position.best_step,
            since_best=0 if improved else position.since_best + 1,
        ), improved

    def adapted(self, state: TrainState, position: Position) -> TrainState:
        """Return the state for the steps after a validation, whose loss is the last one of the position."""
        plateau = self._optimizer.plateau
        if plateau is not None:
            nats = position.valid_nats[-1]

            def next_state(leaf: Tree) -> Tree:
                return _like(leaf, plateau.after_validation, nats) if isinstance(leaf, PlateauState) else leaf

            state = state._replace(
                opt_state=jax.tree.map(next_state, state.opt_state, is_leaf=lambda leaf: isinstance(leaf, PlateauState))
            )
        if self._begins_to_average(position) and state.average is not None:
            flags = _like(state.average._replace(params=None), activated)
            state = state._replace(average=flags._replace(params=state.average.params))
        self.read(state)
        return state

    def _begins_to_average(self, position: Position) -> bool:
        return self._average is not None and not self._is_averaging and self._average.begins(position.valid_nats)

    def reason_to_end(self, position: Position) -> str:
        """Return why training ends before its time; empty if it does not."""
        if self._has_ended:
            return "the validation loss improves too little, after the learning rate was lowered"
        if self._patience is not None and position.since_best >= self._patience:
            return f"{position.since_best} validations in a row were not better than the best one"
        return ""


def _like(state: Tree, function: Callable[..., Tree], *numbers: float) -> Tree:
    """Return ``function(state, *numbers)``, where the arrays of the state lie."""
    found = jit(function)(state, *(jnp.float32(number) for number in numbers))
    placed = any(isinstance(a, jax.Array) and a.committed for a in jax.tree.leaves(state))
    return jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), found, state) if placed else found
