"""Where the batches of training come from: a task without end, arrays, a stream cut into windows, or a generator."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import describe_product
from rnnlm_jax.sequence_model.sequence_data import SequenceData, take
from rnnlm_jax.tasks import Sequences, Task


class Batches(Protocol):
    """Batches of training, a function of the seed and the step."""

    arrays: Tree
    """Arrays that ``draw`` reads; they are arguments of the compiled program."""
    batch_size: int
    carries_state: bool
    """Whether a batch continues the one before; see ``begins``."""

    def items(self, first: int, count: int, seeds: Sequence[int]) -> Tree:
        """Return what the host knows of some steps, leaves ``[count, seeds, ...]``.

        Args:
            first: number of the first step, from 0.
            count: number of steps.
            seeds: the seed of each training run.
        """
        ...

    def describe(self) -> str:
        """Return the sizes, and what else fixes the batches beside ``arrays``."""
        ...

    def begins(self, item: Tree) -> Array:
        """Return whether a batch begins the stream, so that the state is the initial one; traced."""
        ...

    def draw(self, arrays: Tree, key: Key, item: Tree) -> SequenceData:
        """Return the batch of a step; traced.

        Args:
            arrays: the arrays.
            key: the random key of the seed and the step.
            item: what ``items`` returned for this step and seed.
        """
        ...


class _Independent:
    """Batches none of which continues another."""

    carries_state = False

    def begins(self, item: Tree) -> Array:
        """Return True: every batch begins with the initial state."""
        return jnp.ones((), bool)


class TaskBatches(_Independent):
    """Fresh sequences of a task at every step."""

    arrays: Tree = ()

    def __init__(self, task: Task, batch_size: int, length: int) -> None:
        """Fix the sizes.

        Raises:
            ArgumentError: if the task cannot be drawn in these sizes.
        """
        self.task, self.batch_size, self.length = task, batch_size, length
        jax.eval_shape(lambda: task.sample(jax.random.key(0), batch_size, length))

    def describe(self) -> str:
        """Return the task with its options, and the sizes."""
        return f"{self.batch_size} of length {self.length} of {describe_product(self.task)}"

    def items(self, first: int, count: int, seeds: Sequence[int]) -> Tree:
        """Return nothing: the key says all."""
        return ()

    def draw(self, arrays: Tree, key: Key, item: Tree) -> SequenceData:
        """Return sequences of the task."""
        return SequenceData(*self.task.sample(key, self.batch_size, self.length))


class ArrayBatches(_Independent):
    """Sequences of one's own in random order, each once in an epoch; what is left over at its end is not used in it."""

    def __init__(self, data: SequenceData, batch_size: int) -> None:
        """Fix the data.

        Raises:
            ArgumentError: if there are fewer sequences than a batch has.
        """
        count = data.mask.shape[1]
        if check_size("batch_size", batch_size) > count:
            raise ArgumentError(f"`batch_size` {batch_size} is more than the {count} sequences: give at most {count}")
        self.arrays, self.batch_size, self._count = data, batch_size, count

    def describe(self) -> str:
        """Return the batch size."""
        return f"{self.batch_size} of {self._count} sequences"

    def items(self, first: int, count: int, seeds: Sequence[int]) -> Tree:
        """Return the numbers of the sequences in each batch."""
        in_epoch = self._count // self.batch_size
        epochs = range(first // in_epoch, (first + count - 1) // in_epoch + 1)
        start = first - epochs[0] * in_epoch

        def of_seed(seed: int) -> np.ndarray:
            orders = [np.random.default_rng((seed, epoch)).permutation(self._count) for epoch in epochs]
            used = [order[: in_epoch * self.batch_size].reshape(in_epoch, -1) for order in orders]
            return np.concatenate(used)[start : start + count].astype(np.int32)

        return np.stack([of_seed(seed) for seed in seeds], axis=1)

    def draw(self, arrays: Tree, key: Key, item: Tree) -> SequenceData:
        """Return the sequences of these numbers."""
        return take(arrays, item)


class StreamBatches:
    """Long sequences cut into windows, which are read in order with the state carried from one to the next."""

    carries_state = True

    def __init__(self, data: SequenceData, bptt: int) -> None:
        """Cut the sequences; what is left over at their end is not used.

        Args:
            data: the sequences, whose number is the batch size.
            bptt: steps of a window, through which gradients flow back.

        Raises:
            ArgumentError: if the sequences are shorter than a window, or have lengths.
        """
        steps, self.batch_size = data.mask.shape
        if check_size("bptt", bptt) > steps:
            raise ArgumentError(f"`bptt` {bptt} is more than the {steps} steps of the stream: give at most {steps}")
        if data.lengths is not None:
            raise ArgumentError("a stream has no `lengths`: all its sequences are of one length")
        self.windows = steps // bptt

        def cut(array: Array) -> Array:
            return jnp.asarray(array)[: self.windows * bptt].reshape(self.windows, bptt, *array.shape[1:])

        self.arrays = jax.tree.map(cut, data)

    def describe(self) -> str:
        """Return the number of windows; the arrays say the rest."""
        return f"{self.windows} windows of {self.batch_size} streams"

    def items(self, first: int, count: int, seeds: Sequence[int]) -> Tree:
        """Return the number of each window."""
        numbers = (np.arange(first, first + count) % self.windows).astype(np.int32)
        return np.repeat(numbers[:, None], len(seeds), axis=1)

    def draw(self, arrays: Tree, key: Key, item: Tree) -> SequenceData:
        """Return the window of this number."""
        return jax.tree.map(lambda array: array[item], arrays)

    def begins(self, item: Tree) -> Array:
        """Return whether a window is the first of the stream."""
        return item == 0


class GeneratedBatches(_Independent):
    """Batches that a program yields, all of the same shapes; every seed gets the same ones."""

    arrays: Tree = ()

    def __init__(self, batches: Iterable[Sequences | SequenceData]) -> None:
        """Read the first batch, for its shapes.

        Raises:
            ArgumentError: if there is none.
        """
        self._rest: Iterator[SequenceData] = map(_as_data, batches)
        first = next(self._rest, None)
        if first is None:
            raise ArgumentError("the generator of `batches` yields none: give at least one")
        self._rest = itertools.chain([first], self._rest)
        self._shapes = jax.tree.map(jnp.shape, first)
        self.batch_size, self._next = first.mask.shape[1], 0

    def describe(self) -> str:
        """Return the shapes; what the generator yields is not known."""
        return f"of a generator, {self._shapes}"

    def items(self, first: int, count: int, seeds: Sequence[int]) -> Tree:
        """Return the batches themselves.

        Raises:
            ArgumentError: if the generator ends, or yields another shape.
        """
        for _ in itertools.islice(self._rest, first - self._next):  # of steps that were made before a resume
            self._next += 1
        found: list[Any] = list(itertools.islice(self._rest, count))
        self._next += len(found)
        if len(found) < count:
            raise ArgumentError(f"the generator of `batches` ends after {self._next} steps: it must yield one a step")
        for batch in found:
            if jax.tree.map(jnp.shape, batch) != self._shapes:
                raise ArgumentError("the generator of `batches` yields batches of several shapes: pad them to one")
        return jax.tree.map(lambda *leaves: np.repeat(np.stack(leaves)[:, None], len(seeds), axis=1), *found)

    def draw(self, arrays: Tree, key: Key, item: Tree) -> SequenceData:
        """Return the batch."""
        return item


def _as_data(batch: Sequences | SequenceData) -> SequenceData:
    return batch if isinstance(batch, SequenceData) else SequenceData(*batch)
