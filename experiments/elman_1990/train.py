"""Train the networks of an experiment from several seeds, and read their answers on new streams."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.elman_1990.recipes import Published, Recipe
from rnnlm_jax import cells
from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.sequence_model import (
    SequenceData,
    SequenceModel,
    SequenceParams,
    SequenceTraining,
    StreamBatches,
    TaskBatches,
    Trained,
    model_for,
    train_sequence_model,
)
from rnnlm_jax.sequence_model.program import BATCHES, TESTS, seed_key
from rnnlm_jax.tasks import Sequences, Task
from rnnlm_jax.unroll import unroll


class SeedStreams(StreamBatches):
    """One long stream for each seed, an input at a time; the state is carried on, also from its end to its beginning.

    Windows of one step are Elman's training: the context is a copy of the units' last outputs, which weights turn into
    an input, and nothing flows back beyond it.
    """

    def __init__(self, task: Task, length: int, seeds: Sequence[int]) -> None:
        """Draw the streams."""
        streams = jax.vmap(lambda seed: task.sample(seed_key(seed, BATCHES), 1, length))(jnp.asarray(seeds, jnp.uint32))
        end_to_end = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), streams)
        super().__init__(SequenceData(*end_to_end), bptt=1)
        self.length = length

    def items(self, first: int, count: int, seeds: Sequence[int]) -> Int[np.ndarray, "N S"]:
        """Return the numbers of the inputs of each seed."""
        numbers = np.arange(first, first + count) % self.length
        return (numbers[:, None] + self.length * np.arange(len(seeds))).astype(np.int32)

    def begins(self, item: Tree) -> Bool[Array, ""]:
        """Return False: the initial state is before the first step of training only."""
        return jnp.zeros((), bool)


class Answers(NamedTuple):
    """What the networks of all seeds answer on new streams, one stream for each; a batch of S streams, time-major."""

    streams: Sequences
    outputs: Float[np.ndarray, "T S K"]
    """After each input: plain numbers, before the logistic function or the softmax."""
    hidden: Float[np.ndarray, "T S H"]
    """The outputs of the hidden units."""

    @property
    def inputs(self) -> Float[np.ndarray, "T S D"]:
        """The inputs of the streams."""
        return np.asarray(self.streams.inputs)

    @property
    def targets(self) -> np.ndarray:
        """The targets of the streams, as the task describes them: bits, or numbers of words."""
        return np.asarray(self.streams.targets)


def train(task: Task, recipe: Recipe, *, quiet: bool = True) -> Trained:
    """Return the trained networks of a recipe."""
    seeds = range(recipe.seeds)
    if isinstance(recipe, Published):
        model = model_for(task, cells.elman(recipe.hidden_size, "sigmoid"), init_scale=recipe.init_scale)
        batches, steps = SeedStreams(task, recipe.stream, seeds), recipe.stream * recipe.passes
        options: dict[str, Any] = {"optimizer": "sgd", "clip_norm": None}
    else:
        model = model_for(task, cells.elman(recipe.hidden_size, "tanh"))
        batches, steps = TaskBatches(task, recipe.batch_size, recipe.length), recipe.steps
        options = {"optimizer": "adam", "clip_norm": recipe.clip_norm, "schedule": "cosine"}
    training = SequenceTraining(
        steps=steps, seeds=recipe.seeds, check_every=steps, learning_rate=recipe.learning_rate, **options
    )
    return train_sequence_model(model, task, batches, training, quiet=quiet)


def read_answers(trained: Trained, task: Task, length: int) -> Answers:
    """Return the answers of trained networks on new streams, read from the initial state on."""
    model: SequenceModel = trained.model

    def of_seed(params: SequenceParams, seed: Array) -> tuple[Sequences, Array, Array]:
        stream = task.draw_test(seed_key(seed, TESTS), 1, length)
        xs = model.features_of(params, stream.inputs)
        _, hs = unroll(model.cell, params.cell, model.initial_state((1,)), xs)
        outputs = model.readout(params, hs)
        return jax.tree.map(lambda leaf: leaf[:, 0], stream), outputs[:, 0], hs[:, 0]

    found = jit(jax.vmap(of_seed, out_axes=1))(trained.params, jnp.asarray(trained.seeds, jnp.uint32))
    streams, outputs, hidden = jax.tree.map(np.asarray, found)
    return Answers(streams, outputs.astype(np.float64), hidden.astype(np.float64))


def logistic(outputs: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
    """Return ``1 / (1 + exp(-o))``."""
    return 0.5 * (1 + np.tanh(0.5 * outputs))


def softmax(outputs: Float[np.ndarray, "*N K"]) -> Float[np.ndarray, "*N K"]:
    """Return ``exp(o_k) / Σ_j exp(o_j)``."""
    powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
