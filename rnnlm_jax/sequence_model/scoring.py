"""Loss and accuracy of trained models of several seeds on sequences, in parts that fit the memory."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.compilation import jit
from rnnlm_jax.sequence_model.each_seed import for_each_seed
from rnnlm_jax.sequence_model.model import SequenceModel, SequenceParams
from rnnlm_jax.sequence_model.program import TESTS, seed_key
from rnnlm_jax.sequence_model.sequence_data import SequenceData, take
from rnnlm_jax.tasks import Objective, Task

#: Most bytes of inputs, of outputs of cells, or of outputs of the model that are kept at once.
OUTPUT_BYTES = 2**27


class Scores(NamedTuple):
    """Figures of each seed on the same number of sequences."""

    loss: Float[np.ndarray, " S"]
    """Mean loss of the answers."""
    right: Int[np.ndarray, " S"]
    """Answers, or sequences, that are right; see ``Objective.judged``."""
    judged: Int[np.ndarray, " S"]
    """Answers, or sequences, in all."""
    sequences: int

    @property
    def accuracy(self) -> Float[np.ndarray, " S"]:
        """The share that is right."""
        return self.right / np.maximum(self.judged, 1)


class _Sums(NamedTuple):
    loss: Array
    asked: Array
    right: Array
    judged: Array


def score_task(
    model: SequenceModel,
    task: Task,
    params: SequenceParams,
    *,
    seeds: Sequence[int],
    length: int,
    count: int,
    draw: int = 0,
) -> Scores:
    """Return the figures of models on new sequences of a task, or on those that it has for tests.

    Args:
        model: the model.
        task: the task.
        params: the parameters of each seed, leaves ``[S, ...]``.
        seeds: the seed of each; another seed gets other sequences.
        length: length of the sequences, in the task's measure.
        count: number of sequences, rounded up to equal parts; if the task has fewer for tests, all of them.
        draw: another number gives other sequences.
    """
    if task.test_size is not None:
        data = SequenceData(*task.draw_test(jax.random.key(draw), min(count, task.test_size), length))
        return score_data(model, task, params, data)
    steps = jax.eval_shape(lambda: task.draw_test(jax.random.key(0), 1, length)).mask.shape[0]
    parts, size = _parts(model, len(seeds), steps, count)
    sums = _task_program(model, task, length, parts, size)(params, jnp.asarray(seeds, jnp.uint32), jnp.int32(draw))
    return _scores(sums, parts * size)


def score_data(model: SequenceModel, objective: Objective, params: SequenceParams, data: SequenceData) -> Scores:
    """Return the figures of models on given sequences.

    Args:
        model: the model.
        objective: what is asked.
        params: the parameters of each seed, leaves ``[S, ...]``.
        data: the sequences.
    """
    steps, count = data.mask.shape
    seeds = jax.tree.leaves(params)[0].shape[0]
    _, size = _parts(model, seeds, steps, count)
    program, total = _data_program(model, objective), None
    for first in range(0, count, size):
        part = take(data, jnp.arange(first, min(first + size, count)))
        sums = program(params, part)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
    assert total is not None
    return _scores(total, count)


def _parts(model: SequenceModel, seeds: int, steps: int, count: int) -> tuple[int, int]:
    """Return the number of equal parts of ``count`` sequences, and the size of each."""
    widest = max(model.input_size, model.features, model.cell.spec.output_size, model.output_size)
    bytes_of_one = 4 * seeds * steps * widest
    parts = -(-count // max(OUTPUT_BYTES // bytes_of_one, 1))
    return parts, -(-count // parts)


def _sums(model: SequenceModel, objective: Objective, params: SequenceParams, data: SequenceData) -> _Sums:
    """Return sums over the answers of one seed."""
    state = model.initial_state(data.mask.shape[1:])
    _, outputs = model(params, state, data.inputs, lengths=data.lengths)
    losses = objective.loss(outputs, data.targets)
    total = jnp.where(data.mask, losses, 0).sum()
    right, judged = objective.count_right(outputs, data.sequences())
    return _Sums(total, data.mask.sum(dtype=jnp.int32), right, judged)


@functools.lru_cache(maxsize=64)
def _task_program(model: SequenceModel, task: Task, length: int, parts: int, size: int) -> Callable[..., _Sums]:
    """Return the compiled sums over parts of new sequences, for all seeds."""

    def of_seed(params: SequenceParams, seed: Array, draw: Array) -> _Sums:
        key = jax.random.fold_in(seed_key(seed, TESTS), draw)

        def part(total: _Sums, key: Key) -> tuple[_Sums, None]:
            found = _sums(model, task, params, SequenceData(*task.draw_test(key, size, length)))
            return jax.tree.map(jnp.add, total, found), None

        dtype = model.cell.spec.param_dtype
        zeros = _Sums(jnp.zeros((), dtype), *[jnp.zeros((), jnp.int32)] * 3)
        return jax.lax.scan(part, zeros, jax.random.split(key, parts))[0]

    def of_all(params: SequenceParams, seeds: Array, draw: Array) -> _Sums:
        return for_each_seed(lambda own, seed: of_seed(own, seed, draw), params, seeds)

    return jit(of_all)


@functools.lru_cache(maxsize=64)
def _data_program(model: SequenceModel, objective: Objective) -> Callable[..., _Sums]:
    def of_all(params: SequenceParams, data: SequenceData) -> _Sums:
        return for_each_seed(lambda own: _sums(model, objective, own, data), params)

    return jit(of_all)


def _scores(sums: Tree, sequences: int) -> Scores:
    loss, asked, right, judged = map(np.asarray, sums)
    return Scores(loss / np.maximum(asked, 1), right, judged, sequences)
