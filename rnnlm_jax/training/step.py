"""The training step, compiled: loss, gradient, clipping and update; skipped if a number is not finite."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jobs.sharding.data_parallel import sharded_loss_and_gradient
from rnnlm_jax.jobs.sharding.placement import batch_sharding, replicated
from rnnlm_jax.language_model.accumulation import accumulated_loss_and_gradient
from rnnlm_jax.language_model.label_smoothing import check_label_smoothing
from rnnlm_jax.language_model.loss_gradient import has_row_gradients, may_have_row_gradients
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.regularizers import Reads, Regularizer, reads
from rnnlm_jax.training.averaging import Average
from rnnlm_jax.training.frozen_parameters import patterns_of, without_frozen
from rnnlm_jax.training.guard import where_finite
from rnnlm_jax.training.relative_length import relative_length
from rnnlm_jax.training.row_updates import by_rows, global_norm, scaled_updates, updates_by_row
from rnnlm_jax.training.state_reset import check_state_reset, with_resets
from rnnlm_jax.training.train_state import TrainState, state_shardings


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
    penalties: dict[str, Float[Array, ""]] = {}
    """Terms added to the loss divided by its normaliser, by name; ``nats`` does not contain them."""


class TrainStep(Protocol):
    """A compiled training step; the buffers of ``state`` are donated."""

    def __call__(self, state: TrainState, batch: Batch, /) -> tuple[TrainState, StepInfo]:
        """Return the state after a batch, and the step's figures.

        Args:
            state: the state before the step.
            batch: inputs, targets and mask, ``[T, B]``.
        """
        ...


def step_key(model: LanguageModel, seed: int, step: Int[Array, ""], *, draws: bool = False) -> Key | None:
    """Return the random key of a step, a function of seed and step; None if the step needs no random numbers.

    Args:
        model: the model.
        seed: the seed of the run.
        step: number of the step.
        draws: whether something else than the model draws random numbers.
    """
    if not (model.draws or draws):
        return None
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), step)


def make_train_step(
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    *,
    seed: int = 0,
    carries_state: bool = True,
    loss_normalization: str = "token",
    accumulate: int = 1,
    average: Average | None = None,
    random_bptt: int | None = None,
    state_reset_probability: float = 0.0,
    regularizers: Sequence[Regularizer] = (),
    label_smoothing: float = 0.0,
    mesh: Mesh | None = None,
) -> TrainStep:
    """Return the compiled training step: ``optimizer.update``, then ``optax.apply_updates``.

    The gradient is that of the summed loss divided by the number of tokens, or of sequences, in the batch. If the loss
    or the gradient's norm is not finite, the step is skipped: parameters, optimiser state and recurrent state do not
    change, and ``skipped`` counts it. Random numbers are a function of seed and step, so that a resumed run draws what
    an uninterrupted one would have drawn.

    Args:
        model: the model.
        optimizer: any transformation of optax; clipping and learning rate are part of it. Tables of which a batch reads
            few rows are updated by row, where the optimiser gives the same numbers so.
        seed: seed of dropout and of sampled losses.
        carries_state: whether a batch continues the one before (truncated back-propagation through time); if not,
            each batch starts from the model's initial state.
        loss_normalization: "token" or "sequence".
        accumulate: number of parts of a batch, whose gradients are summed one after the other; it divides B.
        average: the average of the parameters that the state has; None for none.
        random_bptt: base length of windows of random length, padded at their end: the padding keeps the state, and
            updates are multiplied by ``relative_length``. None: windows of one length.
        state_reset_probability: probability that a sequence starts a batch from the model's initial state although
            batches carry states on; drawn for each sequence and batch.
        regularizers: terms to add to the loss.
        label_smoothing: probability that targets give to the uniform distribution.
        mesh: devices to divide the step over, with state and batch sharded already; None for one device.

    Raises:
        ArgumentError: if ``loss_normalization`` is something else, the model or its output layer does not have what a
            regulariser or label smoothing needs, or states that no batch carries on are to be reset.
    """
    if loss_normalization not in ("token", "sequence"):
        raise ArgumentError(f"`loss_normalization` must be token or sequence, not {loss_normalization!r}")
    check_label_smoothing(model.output, label_smoothing)
    check_state_reset(state_reset_probability, carries_state=carries_state)
    if reads(regularizers) > Reads.OUTPUTS:
        model.check_observable()
        if random_bptt is not None:
            raise ArgumentError(
                "omega and flossing read every step of a window, and windows of `bptt_random` have padding: leave one "
                "of them out"
            )
    guarded = by_rows(where_finite(optimizer))
    compute = accumulated_loss_and_gradient if mesh is None else functools.partial(sharded_loss_and_gradient, mesh)
    freeze = patterns_of(optimizer)
    draws = state_reset_probability > 0 or any(each.needs_key for each in regularizers)

    @functools.cache
    def moves_rows_alone() -> bool:
        with jax.ensure_compile_time_eval():
            shapes = jax.eval_shape(model.init, jax.random.key(0))
            return updates_by_row(optimizer, shapes, may_have_row_gradients(model))

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepInfo]:
        sequences = batch.inputs.shape[1]
        carried = state.model_state if carries_state else model.initial_state((sequences,))
        key = step_key(model, seed, state.step, draws=draws)
        before = with_resets(state_reset_probability, key, carried, model.initial_state, sequences)
        count = sequences if loss_normalization == "sequence" else jnp.maximum(jnp.asarray(batch.mask).sum(), 1)
        (mean, scored), gradient = compute(
            model,
            state.params,
            before,
            batch,
            key,
            normaliser=count,
            by_row=has_row_gradients(model, batch.inputs.size) and moves_rows_alone(),
            accumulate=accumulate,
            padded=random_bptt is not None,
            regularizers=regularizers,
            label_smoothing=label_smoothing,
            step=state.step,
        )
        nats = mean * jnp.asarray(count, mean.dtype)
        norm = global_norm(without_frozen(gradient, freeze))
        is_finite = jnp.isfinite(nats) & jnp.isfinite(norm)
        updates, opt_state = guarded.update(gradient, state.opt_state, state.params, is_finite=is_finite)
        if random_bptt is not None:
            updates = scaled_updates(updates, relative_length(jnp.asarray(batch.mask), random_bptt))
        params: Any = optax.apply_updates(state.params, updates)

        def unless_skipped(new: Tree, old: Tree) -> Tree:
            return jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), new, old)

        mean_params = None
        if average is not None and state.average is not None:
            mean_params = unless_skipped(average.update(state.average, params), state.average)
        skip = jnp.logical_not(is_finite).astype(jnp.int32)
        skipped, in_row = state.skipped + skip, (state.skipped_in_row + skip) * skip
        info = StepInfo(nats, scored.tokens, norm, skipped, in_row, scored.penalties)
        after = unless_skipped(scored.state, carried)
        return TrainState(params, opt_state, after, state.step + 1, skipped, in_row, mean_params), info

    if mesh is None:
        return jit(train_step, donate_argnums=0)
    state = state_shardings(model, optimizer, mesh, averaged=average is not None)
    other = replicated(mesh)
    shardings: dict[str, Any] = {"in_shardings": (state, batch_sharding(mesh)), "out_shardings": (state, other)}
    return jit(train_step, donate_argnums=0, **shardings)
