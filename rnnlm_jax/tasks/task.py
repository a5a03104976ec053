"""The contract of a synthetic sequence task: what is fed, what is asked, the loss, and when it counts as solved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rnnlm_jax.array_types import Key
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks.objective import Objective, Sequences


class SampleFn(Protocol):
    """Function that draws a batch of sequences."""

    def __call__(self, key: Key, batch_size: int, length: int, /) -> Sequences:
        """Return ``batch_size`` sequences of a length in the task's own measure; shapes depend on the sizes only."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task(Objective):
    """A synthetic task for recurrent networks.

    It is static and hashable: ``sample`` draws data, all of it fixed by the key; ``loss`` and ``correct`` judge the
    outputs ``[T, B, output_size]`` of a model that has read the inputs up to that step. Factories are cached: equal
    arguments give the same task.
    """

    name: str
    source: str
    """The paper that the definition is from."""
    sample: SampleFn
    chance_loss: Callable[[int], float]
    """Length to the mean loss of the best answer that does not read the inputs, for long sequences."""
    chance_accuracy: float
    """The accuracy of a guess that does not read the inputs, for long sequences."""
    solved_accuracy: float
    """The accuracy on new sequences from which the task counts as solved."""
    default_length: int
    """A length of the published experiment, or of parts of its stream, in the task's own measure."""
    shortest_length: int = 1
    """The least length that ``sample`` takes."""
    longest_length: int | None = None
    """The greatest length that ``sample`` takes; None: any."""
    test_sample: SampleFn | None = None
    """Draws sequences for tests, where those differ from the ones of training: held-out data, or another distribution;
    None: ``sample``."""
    test_size: int | None = None
    """How many sequences there are for tests; one call of ``test_sample`` draws each of them once at most. None: no
    end."""

    def draw_test(self, key: Key, batch_size: int, length: int) -> Sequences:
        """Return sequences for a test, see ``SampleFn``."""
        return (self.test_sample or self.sample)(key, batch_size, length)

    def scaled_accuracy(self, accuracy: float) -> float:
        """Return an accuracy on the scale where chance is 0 and all answers right is 1, as Beck et al. (2024) do."""
        return (accuracy - self.chance_accuracy) / (1 - self.chance_accuracy)


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
