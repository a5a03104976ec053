"""The contract of a synthetic sequence task: what is fed, what is asked, the loss, and when it counts as solved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.registry.cached_factory import FactoryMade


class Sequences(NamedTuple):
    """A batch of sequences, time-major, with the right answers; all of it is fixed by the key that it is drawn from."""

    inputs: Float[Array, "T B D"]
    """One vector a step: a symbol as a one-hot vector, or numbers."""
    targets: Array
    """The right answer at every step: a class ``[T, B]``, integers, or K numbers ``[T, B, K]``."""
    mask: Bool[Array, "T B"]
    """The steps at which an answer is asked. At other steps, padding among them, targets may hold anything."""


class SampleFn(Protocol):
    """Function that draws a batch of sequences."""

    def __call__(self, key: Key, batch_size: int, length: int, /) -> Sequences:
        """Return ``batch_size`` sequences of a length in the task's own measure; shapes depend on the sizes only."""
        ...


class AnswerFn(Protocol):
    """Function of the outputs of a model and the right answers, at each step."""

    def __call__(self, outputs: Float[Array, "*B K"], targets: Array, /) -> Array:
        """Return one value for each answer, ``[*B]``."""
        ...


@dataclass(frozen=True)
class Task(FactoryMade):
    """A synthetic task for recurrent networks.

    It is static and hashable: ``sample`` draws data, ``loss`` and ``correct`` judge the outputs ``[T, B, output_size]``
    of a model that has read the inputs up to that step. Factories are cached: equal arguments give the same task.
    """

    name: str
    source: str
    """The paper that the definition is from."""
    input_size: int
    """D, the numbers fed at each step."""
    output_size: int
    """K, the numbers that a model outputs at each step: one for each class, or one for each number asked."""
    sample: SampleFn
    loss: AnswerFn
    """The loss of each answer, to be minimised: nats for classes, squared error for numbers."""
    correct: AnswerFn
    """Whether each answer counts as right."""
    chance_loss: Callable[[int], float]
    """Length to the mean loss of the best answer that does not read the inputs, for long sequences."""
    chance_accuracy: float
    """The share of right answers of a guess among the answers that does not read the inputs, for long sequences."""
    solved_accuracy: float
    """The share of right answers on new sequences from which the task counts as solved."""

    def mean_loss(self, outputs: Float[Array, "T B K"], sequences: Sequences) -> Float[Array, ""]:
        """Return the loss of a model's outputs, the mean over all answers asked."""
        outputs = as_floats("outputs", outputs, sequences.inputs.dtype)
        return masked_mean(self.loss(outputs, sequences.targets), sequences.mask)

    def accuracy(self, outputs: Float[Array, "T B K"], sequences: Sequences) -> Float[Array, ""]:
        """Return the share of the answers asked that are right."""
        return masked_mean(self.correct(outputs, sequences.targets).astype(outputs.dtype), sequences.mask)

    def accuracy_by_step(
        self, outputs: Float[Array, "T B K"], sequences: Sequences
    ) -> tuple[Float[Array, " T"], Int[Array, " T"]]:
        """Return the share of right answers at each step, 0 where none is asked, and the number of answers asked."""
        asked = sequences.mask.sum(axis=1, dtype=jnp.int32)
        right = (self.correct(outputs, sequences.targets) & sequences.mask).sum(axis=1, dtype=jnp.int32)
        return right.astype(outputs.dtype) / jnp.maximum(asked, 1).astype(outputs.dtype), asked

    def scaled_accuracy(self, accuracy: float) -> float:
        """Return an accuracy on the scale where chance is 0 and all answers right is 1, as Beck et al. (2024) do."""
        return (accuracy - self.chance_accuracy) / (1 - self.chance_accuracy)


def masked_mean(values: Float[Array, "T B"], mask: Bool[Array, "T B"]) -> Float[Array, ""]:
    """Return the mean of the values at the masked-in places; the others may hold anything, NaN included."""
    return jnp.where(mask, values, 0).sum() / jnp.maximum(mask.sum(dtype=jnp.int32), 1).astype(values.dtype)


def class_nats(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Return ``-ln softmax(outputs)[target]``, the loss of a classification."""
    log_probs = jax.nn.log_softmax(outputs, axis=-1)
    return -jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


def class_is_right(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Bool[Array, "*B"]:
    """Return whether the class with the largest output is the target; outputs that are not finite are wrong."""
    finite = jnp.isfinite(outputs).all(axis=-1)
    return finite & (jnp.argmax(outputs, axis=-1).astype(targets.dtype) == targets)


def check_sample_sizes(batch_size: int, length: int) -> None:
    """Check the arguments of ``sample``.

    Raises:
        ArgumentError: if one is not a positive whole number.
    """
    check_size("batch_size", batch_size)
    check_size("length", length)
