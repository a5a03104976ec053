"""One step of training, compiled once: loss, gradient, clipping, update, or none of it if a number is not finite."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.language_model import LanguageModel, LanguageModelParams, Scored
from rnnlm_jax.runs import initial_params
from rnnlm_jax.training.apply_gradient import apply_gradient, global_norm
from rnnlm_jax.training.optimizer import make_optimizer
from rnnlm_jax.training.sparse_rows import sum_duplicate_rows
from rnnlm_jax.training.update_rules import update_rule

#: A table with at least so many rows for each token of a batch is updated by row: in a smaller one, finding the tokens
#: that occur twice costs more than a pass over all rows.
ROWS_PER_TOKEN = 4


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
        inputs = jnp.asarray(batch.inputs)

        over = batch_size if config.loss_per == "sequence" else jnp.maximum(jnp.asarray(batch.mask).sum(), 1)

        def loss(params: LanguageModelParams, xs: Array) -> tuple[Array, Scored]:
            return model.loss_from_embedded(params, before, xs, batch, key, over)

        differentiate = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        (mean, scored), (gradient, rows) = differentiate(state.params, model.embed(state.params, inputs))
        nats = mean * jnp.asarray(over, mean.dtype)
        gradient = _with_embedding(model, config, gradient, rows, inputs)
        norm = global_norm(gradient)
        good = jnp.isfinite(nats) & jnp.isfinite(norm)
        rate = learning_rate.astype(norm.dtype)
        params, opt_state = apply_gradient(config, state.params, gradient, state.opt_state, rate, norm, good)
        after = jax.tree.map(lambda new, old: jnp.where(good, new, old), scored.state, before)
        bad = jnp.logical_not(good).astype(jnp.int32)
        skipped, in_row = state.skipped + bad, (state.skipped_in_row + bad) * bad
        info = StepInfo(nats, scored.tokens, norm, skipped, in_row)
        return TrainState(params, opt_state, after, state.step + 1, skipped, in_row), info

    return jax.jit(train_step, donate_argnums=0)


def _with_embedding(
    model: LanguageModel,
    config: OptimizerConfig,
    gradient: LanguageModelParams,
    rows: Float[Array, "T B D"],
    inputs: Int[Array, "T B"],
) -> LanguageModelParams:
    """The gradient with that of the rows looked up: a ``RowGradient`` where no other row changes.

    Momentum, Adam and AdamW move every row, and a tied softmax has a gradient for each: there, and in a small
    table, the embedding's gradient is an array of its size.
    """
    few = ROWS_PER_TOKEN * inputs.size <= model.vocab_size
    if few and update_rule(config).keeps_rest and not model.tie_embeddings:
        flat = rows.reshape(-1, rows.shape[-1])
        return gradient._replace(embedding=sum_duplicate_rows(inputs.reshape(-1), flat))
    return gradient._replace(embedding=gradient.embedding.at[inputs].add(rows))
