"""The compiled training of a model of sequences: one program makes many steps of several seeds."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array, Float, Int, Integer, Key, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.regularizers import Regularizer, regularized_value_and_grad
from rnnlm_jax.sequence_model.batches import Batches
from rnnlm_jax.sequence_model.each_seed import SeedsInThreads, for_each_seed
from rnnlm_jax.sequence_model.model import SequenceModel, SequenceParams
from rnnlm_jax.tasks import Objective
from rnnlm_jax.training.guard import where_finite
from rnnlm_jax.training.row_updates import global_norm, with_promotion

#: Folded into the key of a seed: for initial parameters, batches of training, and tests.
INITIAL, BATCHES, TESTS = 0, 1, 2


class Interval(NamedTuple):
    """Figures of the steps since the last measurement; ``[S]`` for all seeds."""

    steps: Int[Array, " S"]
    """Number of steps, skipped ones not among them."""
    loss: Float[Array, " S"]
    """Sum of the mean losses of batches, without regularisers."""
    log_norm: Float[Array, " S"]
    """Sum of the logarithms of the gradients' global norms before clipping."""
    largest_norm: Float[Array, " S"]


class SeedStates(NamedTuple):
    """All that changes from step to step; every leaf has the seeds as its first axis, S."""

    params: SequenceParams
    opt_state: Tree
    cell_state: Tree
    """The state of the cell after the last batch."""
    skipped: Int[Array, " S"]
    """Steps skipped since loss or gradient was not finite."""
    ended_at: Int[Array, " S"]
    """The step after which a seed's training ended, so that its parameters no longer change; -1: it goes on."""
    interval: Interval


class Program(NamedTuple):
    """The compiled functions of a training."""

    init: Callable[[], SeedStates]
    """Returns the states before the first step."""
    block: Callable[[SeedStates, Integer[Array, " S"], Tree, Int[Array, " N"], Tree], SeedStates]
    """Makes steps: states, seeds, arrays of the batches, numbers of the steps, items -> states. The buffers of the
    states are donated. The seeds may be some of those of ``init``."""


def seed_key(seed: Array | int, purpose: int) -> Key:
    """Return the random key of a seed for one purpose."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


def make_program(
    model: SequenceModel,
    objective: Objective,
    batches: Batches,
    *,
    seeds: Sequence[int],
    optimizer: optax.GradientTransformation,
    regularizers: Sequence[Regularizer] = (),
    init: Callable[[Key], SequenceParams] | None = None,
) -> Program:
    """Return the compiled functions that train a model.

    Batch, initial parameters and random numbers of a seed are functions of the seed and the step alone: a seed's
    training is the same beside any others, and a resumed one as an uninterrupted one. A step whose loss or gradient is
    not finite changes nothing but ``skipped``.

    Args:
        model: the model.
        objective: the loss.
        batches: the batches.
        seeds: the seed of each training.
        optimizer: any transformation of optax; clipping and learning rate are part of it.
        regularizers: terms added to the loss; weights of positions are ``1/(T B)``, so that a sum over steps and
            sequences is a mean.
        init: key -> initial parameters, in place of the model's own.
    """
    guarded = where_finite(with_promotion(optimizer))
    shape = (batches.batch_size,)
    initial_params = init or model.init

    def init_one(seed: Array) -> SeedStates:
        params: Any = initial_params(seed_key(seed, INITIAL))
        zero = jnp.zeros((), jnp.int32)
        return SeedStates(params, guarded.init(params), model.initial_state(shape), zero, zero - 1, no_steps(()))

    def step_one(states: SeedStates, seed: Array, arrays: Tree, step: Array, item: Tree) -> SeedStates:
        old: Any = states.params
        k_batch, k_terms = jax.random.split(jax.random.fold_in(seed_key(seed, BATCHES), step))
        batch = batches.draw(arrays, k_batch, item)
        before = state_before(states, item)
        (loss, _, after), gradient = regularized_value_and_grad(
            model.cell,
            old,
            before,
            batch.inputs,
            loss=lambda params, hs: objective.mean_loss(model.readout(params, hs), batch.sequences()),
            weights=jnp.full(batch.mask.shape, 1 / batch.mask.size, model.cell.spec.param_dtype),
            regularizers=regularizers,
            features=model.features_of,
            lengths=batch.lengths,
            executor=model.executor,
            key=k_terms,
            step=step,
        )
        norm = global_norm(gradient)
        is_finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        updates, opt_state = guarded.update(gradient, states.opt_state, old, is_finite=is_finite)
        params: Any = optax.apply_updates(old, updates)
        moved = states._replace(params=params, opt_state=opt_state, interval=with_step(states.interval, loss, norm))
        if batches.carries_state:
            moved = moved._replace(cell_state=after)
        goes_on = states.ended_at < 0
        chosen = jax.tree.map(lambda new, old: jnp.where(goes_on & is_finite, new, old), moved, states)
        skipped = states.skipped + (goes_on & ~is_finite).astype(jnp.int32)
        return chosen._replace(skipped=skipped)

    def state_before(states: SeedStates, item: Tree) -> Tree:
        if not batches.carries_state:
            return model.initial_state(shape)
        begins = batches.begins(item)
        first = model.initial_state(shape)
        return jax.tree.map(lambda new, old: jnp.where(begins, new, old), first, states.cell_state)

    def block(states: SeedStates, numbers: Array, items: Tree, shared: tuple[Tree, Array]) -> SeedStates:
        arrays, steps = shared

        def of_seed(states: SeedStates, seed: Array, items: Tree) -> SeedStates:
            def step(states: SeedStates, at: tuple[Array, Tree]) -> tuple[SeedStates, None]:
                number, item = at
                return step_one(states, seed, arrays, number, item), None

            return jax.lax.scan(step, states, (steps, items))[0]

        return for_each_seed(of_seed, states, numbers, items)

    run = SeedsInThreads(block)

    def make_steps(states: SeedStates, numbers: Array, arrays: Tree, steps: Array, items: Tree) -> SeedStates:
        own = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), items)
        return run(states, numbers, own, shared=(arrays, steps))

    return Program(jit(lambda: jax.vmap(init_one)(seed_numbers(seeds))), make_steps)


def seed_numbers(seeds: Sequence[int]) -> Integer[Array, " S"]:
    """Return seeds as a program takes them."""
    return jnp.asarray(seeds, jnp.uint32)


def no_steps(shape: tuple[int, ...]) -> Interval:
    """Return the figures of an interval before its first step."""
    sums = [jnp.zeros(shape, jnp.float32) for _ in range(3)]  # three buffers, each of which is donated
    return Interval(jnp.zeros(shape, jnp.int32), *sums)


def with_step(interval: Interval, loss: Float[Array, ""], norm: Float[Array, ""]) -> Interval:
    """Return the figures of an interval with one step more."""
    loss, norm = loss.astype(jnp.float32), norm.astype(jnp.float32)
    log_norm = jnp.log(jnp.maximum(norm, jnp.finfo(jnp.float32).tiny))
    return Interval(
        interval.steps + 1,
        interval.loss + loss,
        interval.log_norm + log_norm,
        jnp.maximum(interval.largest_norm, norm),
    )
