"""A GRU that learns the Lorenz system from one-step predictions, and the system that it is on its own predictions."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.known_systems.exponents import measure
from experiments.known_systems.recipe import Recipe
from experiments.known_systems.systems import System, lorenz
from rnnlm_jax import cells, jacobians, tasks
from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.cells import Cell
from rnnlm_jax.compilation import jit
from rnnlm_jax.sequence_model import (
    SequenceParams,
    SequenceTraining,
    StreamBatches,
    model_for,
    sequence_data,
    train_sequence_model,
)
from rnnlm_jax.training.results import environment


class Scaling(NamedTuple):
    """Constants that bring the states of a system, and their changes in a step, to mean 0 and variance 1."""

    mean: Float[np.ndarray, "3"]
    deviation: Float[np.ndarray, "3"]
    change: Float[np.ndarray, "3"]
    """Standard deviation of the change of a scaled state in a step."""


def trajectories(system: System, recipe: Recipe, seed: int) -> Float[np.ndarray, "T B 3"]:
    """Return states of the system on its attractor, ``recipe.stream_steps + 1`` of each stream, in float64."""
    starts = system.starts(jax.random.key(seed), recipe.streams)

    def step(state: Array, _: None) -> tuple[Array, Array]:
        after = jax.vmap(lambda s: system.step(system.params, s, None))(state)
        return after, after

    length = recipe.burn_in_steps + recipe.stream_steps + 1
    run = jit(lambda starts: jax.lax.scan(step, starts, length=length)[1])
    return np.asarray(run(starts))[recipe.burn_in_steps :]


def train(states: Float[np.ndarray, "T B 3"], recipe: Recipe, seed: int) -> tuple[SequenceParams, Scaling, float]:
    """Train a GRU, in float32, to predict the change of the state in the next step; return its last loss too."""
    mean, deviation = states.mean(axis=(0, 1)), states.std(axis=(0, 1))
    scaled = (states - mean) / deviation
    changes = scaled[1:] - scaled[:-1]
    scaling = Scaling(mean, deviation, changes.std(axis=(0, 1)))
    with jax.enable_x64(False):
        objective = tasks.regression(3, 3)
        data = sequence_data(objective, scaled[:-1].astype(np.float32), (changes / scaling.change).astype(np.float32))
        model = model_for(objective, cells.gru(recipe.hidden_size))
        training = SequenceTraining(
            steps=recipe.steps,
            seed=seed,
            learning_rate=recipe.learning_rate,
            schedule="cosine",
            clip_norm=recipe.clip_norm,
            check_every=min(500, recipe.steps),
        )
        trained = train_sequence_model(model, objective, StreamBatches(data, recipe.bptt), training, quiet=False)
        return jax.device_get(trained.params_of(0)), scaling, trained.history[-1]["train_loss"][0]


def closed_loop(params: SequenceParams, scaling: Scaling, recipe: Recipe) -> tuple[Cell, Tree]:
    """Return a trained network that reads its own predictions, as a system without inputs, and its parameters.

    Its state has the hidden state h of the GRU and the scaled prediction u:

        h ← GRU(h, u),    u ← u + change · (h W + b)
    """
    gru = cells.gru(recipe.hidden_size, param_dtype="float64")

    def step(params: SequenceParams, state: dict[str, Any], x: object) -> dict[str, Any]:
        h = gru.step(params.cell, state["h"], gru.input_projection(params.cell, state["u"]))
        return {"h": h, "u": state["u"] + jnp.asarray(scaling.change) * (h.hidden @ params.w + params.b)}

    wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    return jacobians.from_step(step, {"h": gru.initial_state(()), "u": jnp.zeros(3)}), wide


def run(cell: Cell, params: Tree, starts: Tree, steps: int) -> Float[np.ndarray, "T P 3"]:
    """Return the scaled predictions u of a network on its own, from each start."""
    step = jax.vmap(lambda state: cell.step(params, state, jnp.zeros(0)))

    def scanned(state: Tree, _: None) -> tuple[Tree, Array]:
        after = step(state)
        return after, after["u"]

    return np.asarray(jit(lambda starts: jax.lax.scan(scanned, starts, length=steps)[1])(starts))


def train_and_measure(seed: int, recipe: Recipe) -> dict[str, Any]:
    """Train a network from a seed, and measure the exponents of its closed loop in float64."""
    began = time.monotonic()
    with jax.enable_x64(True):
        system = lorenz(recipe.time_step)
        states = trajectories(system, recipe, seed)
        params, scaling, loss = train(states, recipe, seed)
        trained_in = time.monotonic() - began
        cell, wide = closed_loop(params, scaling, recipe)
        last = (states[-1, : recipe.network_starts] - scaling.mean) / scaling.deviation
        starts = cell.initial_state((len(last),)) | {"u": jnp.asarray(last)}
        found = measure(
            cell,
            wide,
            starts,
            steps=round(recipe.network_time / recipe.time_step),
            burn_in=recipe.burn_in_steps,
            time_step=recipe.time_step,
            qr_interval=recipe.network_qr_interval,
            count=recipe.network_count,
        )
        own = run(cell, wide, starts, recipe.burn_in_steps + round(recipe.shown_time / recipe.time_step))
        own = own[recipe.burn_in_steps :] * scaling.deviation + scaling.mean
    return {
        "seed": seed,
        "recipe": recipe.as_record(),
        "exponents": found.as_record(),
        "training_loss": loss,
        "third_variable": {
            name: {"mean": float(array[..., 2].mean()), "deviation": float(array[..., 2].std())}
            for name, array in (("system", states), ("network", own))
        },
        "shown": {
            name: np.round(array[: round(recipe.shown_time / recipe.time_step) : 2, 0, ::2], 2).tolist()
            for name, array in (("system", states), ("network", own))
        },
        "seconds_of_training": trained_in,
        "seconds": time.monotonic() - began,
        "environment": environment(),
    }
