"""The training step, compiled: loss, gradient, clipping and update; skipped if a number is not finite."""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.compilation import jit
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.sharding.data_parallel import sharded_loss_and_gradient
from rnnlm_jax.jobs.sharding.placement import batch_sharding, replicated
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.training.apply_gradient import apply_gradient, global_norm
from rnnlm_jax.training.frozen_parameters import keep_frozen, without_frozen
from rnnlm_jax.training.train_state import TrainState, state_shardings
from rnnlm_jax.training.update_rules import update_rule


class StepInfo(NamedTuple):
    """Figures of one step."""

    nats: Float[Array, ""]
    """Loss summed over the batch's tokens, in nats; if the output layer is ``sampled``, its own surrogate loss."""
    tokens: Int[Array, ""]
    grad_norm: Float[Array, ""]
    """Global norm of the gradient before clipping."""
    skipped: Int[Array, ""]
    """Steps skipped so far because loss or gradient was not finite."""
    skipped_in_row: Int[Array, ""]
    """Consecutive steps skipped up to this one; 0 if this one was not."""


class TrainStep(Protocol):
    """A compiled training step; the buffers of ``state`` are donated."""

    def __call__(
        self, state: TrainState, batch: Batch, learning_rate: Float[Array, ""], /
    ) -> tuple[TrainState, StepInfo]:
        """Return the state after a batch, and the step's figures.

        Args:
            state: the state before the step.
            batch: inputs, targets and mask, ``[T, B]``.
            learning_rate: η.
        """
        ...


def step_key(model: LanguageModel, seed: int, step: Int[Array, ""]) -> Key | None:
    """Return the random key of a step, a function of seed and step; None if the step needs no random numbers."""
    if not (model.output.sampled or any((model.dropout.input, model.dropout.hidden, model.dropout.output))):
        return None
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), step)


def make_train_step(
    model: LanguageModel,
    config: OptimizerConfig,
    seed: int,
    *,
    carries_state: bool,
    mesh: Mesh | None = None,
    freeze: str | None = None,
) -> TrainStep:
    """Return the compiled training step.

    The gradient is that of the summed loss divided by the number of tokens, or of sequences, in the batch. If the loss
    or the gradient's norm is not finite, the step is skipped: parameters, optimiser state and recurrent state do not
    change, and ``skipped`` counts it. Random numbers are a function of seed and step, so that a resumed run draws what
    an uninterrupted one would have drawn.

    Args:
        model: the model.
        config: the optimiser.
        seed: seed of dropout and of sampled losses.
        carries_state: whether a batch continues the one before (truncated back-propagation through time); if not,
            each batch starts from the model's initial state.
        mesh: devices to divide the step over, with state and batch sharded already; None for one device.
        freeze: patterns of parameters that keep their values, see ``frozen_parameters``; None for none.
    """
    differentiate = loss_and_gradient if mesh is None else functools.partial(sharded_loss_and_gradient, mesh)

    def train_step(state: TrainState, batch: Batch, learning_rate: Array) -> tuple[TrainState, StepInfo]:
        batch_size = batch.inputs.shape[1]
        before = state.model_state if carries_state else model.initial_state((batch_size,))
        key = step_key(model, seed, state.step)
        over = batch_size if config.loss_normalization == "sequence" else jnp.maximum(jnp.asarray(batch.mask).sum(), 1)
        by_row = update_rule(config).keeps_rest  # momentum, Adam and AdamW change every row
        (mean, scored), gradient = differentiate(
            model, state.params, before, batch, key, normaliser=over, by_row=by_row
        )
        nats = mean * jnp.asarray(over, mean.dtype)
        norm = global_norm(without_frozen(gradient, freeze))
        is_finite = jnp.isfinite(nats) & jnp.isfinite(norm)
        params, opt_state = apply_gradient(
            config,
            state.params,
            gradient,
            state.opt_state,
            learning_rate=learning_rate.astype(norm.dtype),
            norm=norm,
            is_finite=is_finite,
        )
        params = keep_frozen(params, state.params, freeze)
        after = jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), scored.state, before)
        skip = jnp.logical_not(is_finite).astype(jnp.int32)
        skipped, in_row = state.skipped + skip, (state.skipped_in_row + skip) * skip
        info = StepInfo(nats, scored.tokens, norm, skipped, in_row)
        return TrainState(params, opt_state, after, state.step + 1, skipped, in_row), info

    if mesh is None:
        return jit(train_step, donate_argnums=0)
    state, other = state_shardings(model, config, mesh), replicated(mesh)
    shardings = {"in_shardings": (state, batch_sharding(mesh), other), "out_shardings": (state, other)}
    return jit(train_step, donate_argnums=0, **shardings)
