"""What is asked of a model of sequences: the loss of its answers, and which of them are right."""

import enum
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.registry.cached_factory import FactoryMade


class Sequences(NamedTuple):
    """A batch of sequences, time-major, with the right answers."""

    inputs: Array
    """What is fed at each step: numbers ``[T, B, D]``, symbols as one-hot vectors among them, or symbols as whole
    numbers ``[T, B]``."""
    targets: Array
    """The right answer at every step: a class ``[T, B]``, integers, or numbers ``[T, B, ·]``, as the objective says."""
    mask: Bool[Array, "T B"]
    """The steps at which an answer is asked. At other steps, padding among them, targets may hold anything."""


class AnswerFn(Protocol):
    """Function of the outputs of a model and the right answers, at each step."""

    def __call__(self, outputs: Float[Array, "*B K"], targets: Array, /) -> Array:
        """Return one value for each answer, ``[*B]``."""
        ...


class Judged(enum.Enum):
    """What an accuracy is a share of."""

    ANSWERS = "answers"
    """Single answers."""
    SEQUENCES = "sequences"
    """Sequences; one is right if all its answers are."""


@dataclass(frozen=True, kw_only=True)
class Objective(FactoryMade):
    """What a model of sequences is trained for; static and hashable.

    ``loss`` and ``correct`` judge the outputs ``[T, B, output_size]`` of a model at each step.
    """

    input_size: int
    """D, the numbers fed at each step, or the number of symbols."""
    output_size: int
    """K, the numbers that a model outputs at each step: one for each class, or one for each number asked."""
    loss: AnswerFn
    """The loss of each answer, to be minimised: nats for classes, squared error for numbers."""
    correct: AnswerFn
    """Whether each answer counts as right."""
    takes_classes: bool = False
    """Whether targets are classes, of which there are ``output_size``."""
    judged: Judged = Judged.ANSWERS
    """What accuracies are shares of."""

    def mean_loss(self, outputs: Float[Array, "T B K"], sequences: Sequences) -> Float[Array, ""]:
        """Return the loss of a model's outputs, the mean over all answers asked."""
        if jnp.issubdtype(sequences.inputs.dtype, jnp.floating):
            outputs = as_floats("outputs", outputs, sequences.inputs.dtype)
        return masked_mean(self.loss(outputs, sequences.targets), sequences.mask)

    def accuracy(self, outputs: Float[Array, "T B K"], sequences: Sequences) -> Float[Array, ""]:
        """Return the share of answers, or of sequences, that are right, see ``judged``."""
        right, judged = self.count_right(outputs, sequences)
        return right.astype(outputs.dtype) / jnp.maximum(judged, 1).astype(outputs.dtype)

    def count_right(
        self, outputs: Float[Array, "T B K"], sequences: Sequences
    ) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Return how many answers, or sequences, are right, and how many there are; see ``judged``."""
        right, asked = self.correct(outputs, sequences.targets), sequences.mask
        if self.judged is Judged.SEQUENCES:
            right, asked = (right | ~asked).all(axis=0), asked.any(axis=0)
        return (right & asked).sum(dtype=jnp.int32), asked.sum(dtype=jnp.int32)

    def accuracy_by_step(
        self, outputs: Float[Array, "T B K"], sequences: Sequences
    ) -> tuple[Float[Array, " T"], Int[Array, " T"]]:
        """Return the share of right answers at each step, 0 where none is asked, and the number of answers asked."""
        asked = sequences.mask.sum(axis=1, dtype=jnp.int32)
        right = (self.correct(outputs, sequences.targets) & sequences.mask).sum(axis=1, dtype=jnp.int32)
        return right.astype(outputs.dtype) / jnp.maximum(asked, 1).astype(outputs.dtype), asked


def masked_mean(values: Float[Array, "T B"], mask: Bool[Array, "T B"]) -> Float[Array, ""]:
    """Return the mean of the values at the masked-in places; the others may hold anything, NaN included."""
    return jnp.where(mask, values, 0).sum() / jnp.maximum(mask.sum(dtype=jnp.int32), 1).astype(values.dtype)
