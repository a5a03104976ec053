"""Train a network on the spirals in one compiled program, and measure how much of it learns."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.deep_networks.networks import VARIANTS, Architecture, Network, Params, nll, read_out
from experiments.deep_networks.recipe import Recipe
from experiments.deep_networks.spirals import ARMS, Points, sample
from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.compilation import jit
from rnnlm_jax.training.results import environment
from rnnlm_jax.training.row_updates import with_promotion

#: Weight of the penalty of the linear probes, beside features of variance 1.
PROBE_PENALTY = 1e-3
#: Differences between inputs that are smaller than this, beside a feature's size, are rounding errors of float32.
PROBE_FLOOR = 1e-6


class Trained(NamedTuple):
    """A network after training."""

    params: Params
    loss: Float[Array, ""]
    """Mean over the last tenth of the steps."""
    overflowed: Int[Array, ""]
    """Steps whose gradient norm was not a finite float32; they change nothing."""


@functools.partial(jit, static_argnames=("architecture", "recipe"))
def train(
    architecture: Architecture,
    params: Params,
    batches: Points,
    *,
    scale: Float[Array, ""],
    rate: Float[Array, ""],
    recipe: Recipe,
) -> Trained:
    """Train a network by stochastic gradient descent with momentum, one step for each of the batches."""
    optimizer: Any = _optimizer(rate, recipe)  # optax's types know arrays and dicts only

    def loss_of(params: Params, batch: Points) -> Array:
        return nll(architecture.logits(params, batch.x, scale), batch.label).mean()

    def step(carry: tuple[Any, Any], batch: Points) -> tuple[tuple[Any, Any], tuple[Array, Array]]:
        params, state = carry
        loss, gradient = jax.value_and_grad(loss_of)(params, batch)
        finite = jnp.isfinite(optax.tree.norm(gradient))
        gradient = jax.tree.map(lambda g: jnp.where(finite, g, 0), gradient)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), (loss, finite)

    (params, _), (losses, finite) = jax.lax.scan(step, (params, optimizer.init(params)), batches)
    last = max(recipe.steps // 10, 1)
    return Trained(params, losses[-last:].mean(), recipe.steps - finite.sum(dtype=jnp.int32))


def _optimizer(rate: Float[Array, ""], recipe: Recipe) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(rate, recipe.steps)  # type: ignore[arg-type]  # an array will do
    rule = optax.sgd(schedule, momentum=recipe.momentum)
    return with_promotion(optax.chain(optax.clip_by_global_norm(recipe.clip_norm), rule))


def _accuracy(logits: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, ""]:
    return (logits.argmax(axis=1).astype(labels.dtype) == labels).astype(logits.dtype).mean()


@functools.partial(jit, static_argnums=0)
def all_activations(
    architecture: Architecture, params: Params, x: Float[Array, "B N"], scale: Float[Array, ""]
) -> Float[Array, "L+1 B N"]:
    """Return the activations of all layers, the inputs being layer 0."""
    return jnp.concatenate([x[None], architecture.activations(params.layers, x, scale)])


def probes(network: Network, params: Params, sets: tuple[Points, Points]) -> list[float]:
    """Return the accuracy of a linear classifier on the activations of each layer, the inputs being layer 0.

    It is fitted on the first set of points, and tested on the second.
    """
    scale = jnp.float32(network.scale)
    layers = zip(*(all_activations(network.architecture, params, points.x, scale) for points in sets), strict=True)
    return [
        float(linear_probe(Points(fitted, sets[0].label), Points(tested, sets[1].label))) for fitted, tested in layers
    ]


@jit
def linear_probe(fitted_on: Points, tested_on: Points) -> Float[Array, ""]:
    """Return the accuracy, on some points, of a linear classifier that is fitted on others.

    It is the least-squares fit to one-hot labels of standardised activations, with a small penalty.
    """
    size = jnp.maximum(jnp.abs(fitted_on.x).max(), jnp.finfo(fitted_on.x.dtype).tiny)  # squares may overflow
    features = fitted_on.x / size
    mean = features.mean(axis=0, keepdims=True)
    rms = jnp.sqrt((features**2).mean(axis=0, keepdims=True))
    spread = features.std(axis=0, keepdims=True) + PROBE_FLOOR * rms + jnp.finfo(features.dtype).tiny
    features = (features - mean) / spread
    targets = jax.nn.one_hot(fitted_on.label, ARMS, dtype=features.dtype) - 1 / ARMS
    count, width = features.shape
    gram = features.T @ features / count + PROBE_PENALTY * jnp.eye(width, dtype=features.dtype)
    weights = jnp.linalg.solve(gram, features.T @ targets / count)
    scores = (tested_on.x / size - mean) / spread @ weights + targets.mean(axis=0, keepdims=True)
    return _accuracy(scores, tested_on.label)


class Outcome(NamedTuple):
    """One network before and after training."""

    initial: Params
    trained: Trained
    validation: float
    """Accuracy on the validation set."""
    test: float
    movement: list[float]
    """``‖W - W_0‖ / ‖W_0‖`` of the matrix of each layer."""
    sets: tuple[Points, Points]
    """Points to fit linear classifiers on, and the test set."""


def one_run(network: Network, recipe: Recipe, seed: int, rate: float) -> Outcome:
    """Train a network on points of its own."""
    keys = jax.random.split(jax.random.key(seed), 5)
    architecture, scale = network.architecture, jnp.float32(network.scale)
    initial = network.init(keys[0])
    drawn = sample(keys[1], recipe.steps * recipe.batch_size, recipe.width)
    batches = jax.tree.map(lambda part: part.reshape(recipe.steps, recipe.batch_size, *part.shape[1:]), drawn)
    trained = train(architecture, initial, batches, scale=scale, rate=jnp.float32(rate), recipe=recipe)
    validation, test, fitted_on = (sample(key, recipe.test_points, recipe.width) for key in keys[2:])
    before, after = initial.layers.w, trained.params.layers.w
    change, size = (jnp.linalg.norm(w, axis=(1, 2)) for w in (after - before, before))

    def accuracy(points: Points) -> float:
        last = all_activations(architecture, trained.params, points.x, scale)[-1]
        return float(_accuracy(read_out(trained.params, last), points.label))

    movement = np.asarray(change / size).tolist()
    return Outcome(initial, trained, accuracy(validation), accuracy(test), movement, (fitted_on, test))


def train_and_test(
    activation: str, variant: str, recipe: Recipe, *, progress: Callable[[int], object]
) -> dict[str, Any]:
    """Return results of all depths of one kind of network.

    Args:
        activation: name of an activation function.
        variant: name of a variant.
        recipe: sizes.
        progress: called with the number of steps made since its last call.
    """
    by_depth = {}
    for depth in recipe.depths:
        network = Network(activation, VARIANTS[variant], depth, recipe.width, ARMS)

        def run(seed: int, rate: float, network: Network = network) -> Outcome:
            outcome = one_run(network, recipe, recipe.seed + seed, rate)
            progress(recipe.steps)
            return outcome

        by_rate = {rate: run(0, rate) for rate in recipe.rates}
        rate = max(by_rate, key=lambda rate: by_rate[rate].validation)
        found = [by_rate[rate], *(run(seed, rate) for seed in range(1, recipe.seeds))]
        by_depth[str(depth)] = {
            "rate": rate,
            "validation_by_rate": {str(rate): one.validation for rate, one in by_rate.items()},
            "loss": [finite_or_none(one.trained.loss) for one in found],
            "accuracy": [one.test for one in found],
            "movement": _means([one.movement for one in found]),
            "probe_before": _means([probes(network, one.initial, one.sets) for one in found]),
            "probe_after": _means([probes(network, one.trained.params, one.sets) for one in found]),
            "overflowed_steps": [int(one.trained.overflowed) for one in found],
        }
    return {
        "activation": activation,
        "variant": variant,
        "recipe": recipe.recorded(),
        "depths": by_depth,
        "environment": environment(),
    }


def finite_or_none(value: Float[Array, ""]) -> float | None:
    """Return a number for JSON, which has no infinity."""
    return float(value) if np.isfinite(value) else None


def _means(rows: list[list[float]]) -> list[float]:
    """Return the mean over networks of one number of each layer."""
    return [float(f"{value:.5g}") for value in np.mean(rows, axis=0)]
