"""One step of training, compiled once: loss, gradient, clipping, update, or none of it if a number is not finite."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model import LanguageModel, LanguageModelParams
from rnnlm_jax.runs import initial_params
from rnnlm_jax.training.optimizer import make_optimizer


class TrainState(NamedTuple):
    """All that changes from step to step; with the seed and the position in the data, all that a checkpoint needs."""

    params: LanguageModelParams
    opt_state: Tree
    model_state: Tree
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    """Updates left out so far because loss or gradient was not finite."""
    skipped_in_row: Int[Array, ""]


class StepInfo(NamedTuple):
    """What a step tells of itself: summed nats over tokens, and the gradient's global norm before clipping."""

    nats: Float[Array, ""]
    tokens: Int[Array, ""]
    grad_norm: Float[Array, ""]
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]


TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, StepInfo]]


def initial_train_state(model: LanguageModel, config: OptimizerConfig, batch_size: int, seed: int) -> TrainState:
    """Fresh parameters, optimiser and recurrent state."""
    params = initial_params(model, seed)
    return TrainState(
        params=params,
        opt_state=make_optimizer(config, 0.0).init(params),
        model_state=model.initial_state((batch_size,)),
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        skipped_in_row=jnp.zeros((), jnp.int32),
    )


def dropout_key(model: LanguageModel, seed: int, step: Int[Array, ""]) -> Key | None:
    """The key of a step's dropout, a function of seed and step; None without dropout."""
    if not any((model.dropout.input, model.dropout.hidden, model.dropout.output)):
        return None
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), step)


def make_train_step(model: LanguageModel, config: OptimizerConfig, seed: int, carries_state: bool) -> TrainStep:
    """``(state, batch, learning_rate) -> (state, info)``, compiled, its state donated.

    The gradient is that of the summed nats over the number of tokens, or of sequences, in the batch. If the loss or the
    gradient's norm is not finite, parameters, optimiser and recurrent state stay as they were, and the step is counted.
    Dropout's key is ``fold_in(key, step)``: a resumed run draws what an uninterrupted one would have drawn.

    Args:
        model: the model.
        config: the optimiser.
        seed: of dropout.
        carries_state: whether a batch goes on where the last one ended (truncated back-propagation through time); if
            not, each starts from the model's initial state.
    """

    def train_step(state: TrainState, batch: Batch, learning_rate: Array) -> tuple[TrainState, StepInfo]:
        batch_size = batch.inputs.shape[1]
        before = state.model_state if carries_state else model.initial_state((batch_size,))
        key = dropout_key(model, seed, state.step)

        def loss(params: LanguageModelParams) -> tuple[Array, tuple[Array, Array, Tree]]:
            nats, scored = model.loss_fn(params, before, batch, key)
            over = batch_size if config.loss_per == "sequence" else jnp.maximum(scored.tokens, 1)
            return nats / jnp.asarray(over, nats.dtype), (nats, scored.tokens, scored.state)

        (_, (nats, tokens, after)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        grad_norm = optax.tree.norm(gradient)
        rule = make_optimizer(config, learning_rate.astype(grad_norm.dtype))
        updates, opt_state = rule.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)

        good = jnp.isfinite(nats) & jnp.isfinite(grad_norm)
        params, opt_state, after = jax.tree.map(
            lambda new, old: jnp.where(good, new, old),
            (params, opt_state, after),
            (state.params, state.opt_state, before),
        )
        bad = jnp.logical_not(good).astype(jnp.int32)
        skipped, in_row = state.skipped + bad, (state.skipped_in_row + bad) * bad
        info = StepInfo(nats, tokens, grad_norm, skipped, in_row)
        return TrainState(params, opt_state, after, state.step + 1, skipped, in_row), info

    return jax.jit(train_step, donate_argnums=0)
