"""What is timed: every cell of the zoo over time, and the training steps of presets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import unroll
from rnnlm_jax.cells import zoo
from rnnlm_jax.config import Config
from rnnlm_jax.data import Batch
from rnnlm_jax.presets import preset
from rnnlm_jax.runs import build_model
from rnnlm_jax.training.step import initial_train_state, make_train_step

#: Layers: steps, batch, input and hidden size.
LAYER_SHAPES = ((35, 20, 200), (64, 64, 256), (256, 1, 256))

#: Training steps by preset, with the vocabulary of Penn Treebank.
STEPS = ("zaremba/small", "zaremba/medium")
VOCABULARY = 10_000


@dataclass(frozen=True)
class Subject:
    """A thing to time, and the tokens that one call of it processes."""

    name: str
    shape: tuple[int, int, int]
    tokens: int
    run: Callable[[], Any]


def layers(shape: tuple[int, int, int]) -> Iterator[Subject]:
    """Forward, and forward with backward, of one layer of every cell; D = H."""
    steps, batch, hidden = shape
    for name in zoo.CELLS:
        cell = zoo.make(name, hidden)
        params = cell.init(jax.random.key(0), hidden)
        xs = jax.random.normal(jax.random.key(1), (steps, batch, hidden), jnp.float32)

        def outputs(params: Any, xs: jax.Array, cell: Any = cell) -> jax.Array:
            return unroll(cell, params, cell.initial_state((batch,)), xs)[1]

        def loss(params: Any, xs: jax.Array, outputs: Any = outputs) -> jax.Array:
            return jnp.square(outputs(params, xs)).sum()

        forward, backward = jax.jit(outputs), jax.jit(jax.grad(loss, argnums=(0, 1)))
        yield Subject(f"{name} forward", shape, steps * batch, lambda f=forward, p=params, x=xs: f(p, x))
        yield Subject(f"{name} backward", shape, steps * batch, lambda f=backward, p=params, x=xs: f(p, x))


def training_step(name: str) -> Subject:
    """A whole training step of a preset: loss, gradient, clipping, update."""
    config: Config = preset(name)
    steps, batch = config.data.window, config.data.batch_size
    model = build_model(config.model, VOCABULARY)
    state = [initial_train_state(model, config.optimizer, batch, seed=0)]
    step = make_train_step(model, config.optimizer, seed=0, carries_state=True)
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (steps + 1, batch)).astype(np.int32)
    data = Batch(tokens[:-1], tokens[1:], np.ones((steps, batch), bool))

    def run() -> Any:
        state[0], info = step(state[0], data, jnp.float32(0.1))
        return state[0], info

    return Subject(f"{name} training step", (steps, batch, config.model.hidden_size), steps * batch, run)
