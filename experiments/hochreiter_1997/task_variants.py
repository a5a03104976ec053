"""Tasks of the library with another loss, or with other inputs, that say the same."""

from dataclasses import fields, replace

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key
from rnnlm_jax.registry.cached_factory import cached_factory
from rnnlm_jax.tasks import Sequences, Task
from rnnlm_jax.tasks.reber import SYMBOLS


class SummedTask(Task):
    """A task whose loss is that of a whole sequence."""

    def mean_loss(self, outputs: Float[Array, "T B K"], sequences: Sequences) -> Float[Array, ""]:
        """Return the sum of the losses of all answers of a sequence, the mean over sequences."""
        losses = self.loss(outputs, sequences.targets)
        return jnp.where(sequences.mask, losses, 0).sum() / sequences.mask.shape[1]


@cached_factory
def summed(task: Task) -> SummedTask:
    """Return a task whose loss is summed over the answers of a sequence, as the paper's errors are."""
    return SummedTask(**{field.name: getattr(task, field.name) for field in fields(task)})


@cached_factory
def by_number(task: Task) -> Task:
    """Return a task whose one-hot inputs ``[T, B, D]`` are the numbers of their symbols, ``[T, B]``; of padding 0.

    A layer then takes a row of its weights in place of a product with a thousand numbers.
    """

    def sample(key: Key, batch_size: int, length: int) -> Sequences:
        sequences = task.sample(key, batch_size, length)
        numbers = jnp.arange(task.input_size, dtype=jnp.int32)[None, None]
        marked = sequences.inputs.astype(jnp.int32) * numbers
        return sequences._replace(inputs=marked.sum(axis=-1, dtype=jnp.int32))

    return replace(task, sample=sample)


def all_of_training(task: Task) -> Task:
    """Return a task whose tests draw what training does, where there are held-out sequences for tests."""
    return replace(task, test_sample=None, test_size=None)


#: The two things that a network of the embedded Reber grammar learns.
GRAMMAR, SECOND_SYMBOL = "grammar", "second symbol"
#: Places of T and P among the seven symbols; a target is the next symbol, then whether each may follow.
T, P = SYMBOLS.index("T"), SYMBOLS.index("P")


@cached_factory
def part_of_reber(task: Task, part: str) -> Task:
    """Return the task of the embedded Reber grammar with a part of its answers judged.

    The last symbol but one is the second one, T or P, and the only place where one of the two alone may follow.

    Args:
        task: the task.
        part: "second symbol": the answer there; "grammar": all others.
    """

    def correct(outputs: Float[Array, "*B 7"], targets: Int[Array, "*B 8"]) -> Bool[Array, "*B"]:
        may_follow = targets[..., 1:]
        one_alone = (may_follow.sum(axis=-1, dtype=jnp.int32) == 1) & (may_follow[..., T] + may_follow[..., P] == 1)
        is_judged = one_alone if part == SECOND_SYMBOL else ~one_alone
        return task.correct(outputs, targets) | ~is_judged

    return replace(task, correct=correct)
