"""The contract of a synthetic sequence task: what is fed, what is asked, the loss, and when it counts as solved."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.registry.cached_factory import FactoryMade


class Sequences(NamedTuple):
    """A batch of sequences, time-major, with the right answers; all of it is fixed by the key that it is drawn from."""

    inputs: Float[Array, "T B D"]
    """One vector a step: a symbol as a one-hot vector, or numbers."""
    targets: Array
    """The right answer at every step: a class ``[T, B]``, integers, or numbers ``[T, B, ·]``, as the task says."""
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


class Judged(enum.Enum):
    """What an accuracy is a share of."""

    ANSWERS = "answers"
    """Single answers."""
    SEQUENCES = "sequences"
    """Sequences; one is right if all its answers are."""


@dataclass(frozen=True, kw_only=True)
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
    """The accuracy of a guess that does not read the inputs, for long sequences."""
    solved_accuracy: float
    """The accuracy on new sequences from which the task counts as solved."""
    judged: Judged = Judged.ANSWERS
    """What accuracies are shares of."""
    default_length: int
    """A length of the published experiment, in the task's own measure."""
    shortest_length: int = 1
    """The least length that ``sample`` takes."""
    longest_length: int | None = None
    """The greatest length that ``sample`` takes; None: any."""
    test_sample: SampleFn | None = None
    """Draws sequences for tests, where those differ from the ones of training: held-out data, or another distribution;
    None: ``sample``."""

    def mean_loss(self, outputs: Float[Array, "T B K"], sequences: Sequences) -> Float[Array, ""]:
        """Return the loss of a model's outputs, the mean over all answers asked."""
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

    def draw_test(self, key: Key, batch_size: int, length: int) -> Sequences:
        """Return sequences for a test, see ``SampleFn``."""
        return (self.test_sample or self.sample)(key, batch_size, length)

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


def check_sample_sizes(batch_size: int, length: int, *, shortest: int = 1, longest: int | None = None) -> None:
    """Check the arguments of ``sample``.

    Raises:
        ArgumentError: if one is not a positive whole number, or the length is less than ``shortest`` or greater than
            ``longest``.
    """
    check_size("batch_size", batch_size)
    if check_size("length", length) < shortest:
        raise ArgumentError(f"`length` must be at least {shortest} for this task, not {length}")
    if longest is not None and length > longest:
        raise ArgumentError(f"`length` must be at most {longest} for this task, not {length}")
