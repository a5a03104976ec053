"""One step of training, compiled once: loss, gradient, clipping, update, or none of it if a number is not finite."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.jobs.run_folder import initial_params
from rnnlm_jax.jobs.sharding.data_parallel import sharded_loss_and_gradient
from rnnlm_jax.jobs.sharding.parameter_sharding import parameter_shardings
from rnnlm_jax.jobs.sharding.placement import batch_sharding, model_state_shardings, replicated
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams
from rnnlm_jax.training.apply_gradient import apply_gradient, global_norm
from rnnlm_jax.training.optimizer import make_optimizer
from rnnlm_jax.training.update_rules import update_rule


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
    """What a step tells of itself: its loss, summed over tokens, and the gradient's global norm before clipping."""

    nats: Float[Array, ""]
    """No nats where the output layer is ``sampled``: its own loss."""
    tokens: Int[Array, ""]
    grad_norm: Float[Array, ""]
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]


TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, StepInfo]]


def initial_train_state(
    model: LanguageModel, config: OptimizerConfig, batch_size: int, seed: int, mesh: Mesh | None = None
) -> TrainState:
    """Fresh parameters, optimiser and recurrent state; on a mesh each device makes what it has of them."""

    def make() -> TrainState:
        params = initial_params(model, seed)
        return TrainState(
            params=params,
            opt_state=make_optimizer(config, 0.0).init(params),
            model_state=model.initial_state((batch_size,)),
            step=jnp.zeros((), jnp.int32),
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_row=jnp.zeros((), jnp.int32),
        )

    return make() if mesh is None else jit(make, out_shardings=state_shardings(model, config, mesh))()


def state_shardings(model: LanguageModel, config: OptimizerConfig, mesh: Mesh) -> TrainState:
    """Where the state of training lies on a mesh: a tree like it, of shardings.

    What the optimiser remembers of a parameter lies where that does; recurrent state is divided as the batch is.
    """
    params, other = parameter_shardings(model, mesh), replicated(mesh)
    optimizer = make_optimizer(config, 0.0)
    opt_state = optax.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(lambda: optimizer.init(model.init(jax.random.key(0)))),
        params,
        transform_non_params=lambda _: other,
    )
    counters: Any = other
    return TrainState(params, opt_state, model_state_shardings(model, mesh), counters, counters, counters)


def step_key(model: LanguageModel, seed: int, step: Int[Array, ""]) -> Key | None:
    """The key of all that a step draws, a function of seed and step; None if it draws nothing."""
    if not model.draws:
        return None
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), step)


def make_train_step(
    model: LanguageModel, config: OptimizerConfig, seed: int, carries_state: bool, mesh: Mesh | None = None
) -> TrainStep:
    """``(state, batch, learning_rate) -> (state, info)``, compiled, its state donated.

    The gradient is that of the summed loss over the number of tokens, or of sequences, in the batch. If the loss or the
    gradient's norm is not finite, parameters, optimiser and recurrent state stay as they were, and the step is counted.
    What is drawn, for dropout and by a sampled loss, is a function of seed and step: a resumed run draws what an
    uninterrupted one would have drawn.

    Args:
        model: the model.
        config: the optimiser.
        seed: of what is drawn.
        carries_state: whether a batch goes on where the last one ended (truncated back-propagation through time); if
            not, each starts from the model's initial state.
        mesh: to divide the step over, state and batch lying there already (``placing``); none for one device.
    """
    differentiate = loss_and_gradient if mesh is None else functools.partial(sharded_loss_and_gradient, mesh)

    def train_step(state: TrainState, batch: Batch, learning_rate: Array) -> tuple[TrainState, StepInfo]:
        batch_size = batch.inputs.shape[1]
        before = state.model_state if carries_state else model.initial_state((batch_size,))
        key = step_key(model, seed, state.step)
        over = batch_size if config.loss_normalization == "sequence" else jnp.maximum(jnp.asarray(batch.mask).sum(), 1)
        by_row = update_rule(config).keeps_rest  # momentum, Adam and AdamW move every row
        options = {"normaliser": over, "by_row": by_row}
        (mean, scored), gradient = differentiate(model, state.params, before, batch, key, **options)
        nats = mean * jnp.asarray(over, mean.dtype)
        norm = global_norm(gradient)
        good = jnp.isfinite(nats) & jnp.isfinite(norm)
        rate = learning_rate.astype(norm.dtype)
        params, opt_state = apply_gradient(config, state.params, gradient, state.opt_state, rate, norm, good)
        after = jax.tree.map(lambda new, old: jnp.where(good, new, old), scored.state, before)
        bad = jnp.logical_not(good).astype(jnp.int32)
        skipped, in_row = state.skipped + bad, (state.skipped_in_row + bad) * bad
        info = StepInfo(nats, scored.tokens, norm, skipped, in_row)
        return TrainState(params, opt_state, after, state.step + 1, skipped, in_row), info

    if mesh is None:
        return jit(train_step, donate_argnums=0)
    state, other = state_shardings(model, config, mesh), replicated(mesh)
    shardings = {"in_shardings": (state, batch_sharding(mesh), other), "out_shardings": (state, other)}
    return jit(train_step, donate_argnums=0, **shardings)
