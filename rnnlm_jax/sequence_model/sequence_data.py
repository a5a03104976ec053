"""Arrays of one's own as sequences, with what is asked of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Int
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks.objective import Objective, Sequences


class SequenceData(NamedTuple):
    """Sequences with the right answers, as ``tasks.Sequences`` has them, and their lengths."""

    inputs: Array
    targets: Array
    mask: Bool[Array, "T N"]
    lengths: Int[Array, " N"] | None = None
    """The number of steps of each sequence; later ones are padding. None: the answers alone say where a sequence ends,
    which is enough for a network that reads forwards."""

    def sequences(self) -> Sequences:
        """Return what an objective judges."""
        return Sequences(self.inputs, self.targets, self.mask)


def sequence_data(
    objective: Objective, inputs: ArrayLike, targets: ArrayLike, *, lengths: ArrayLike | None = None
) -> SequenceData:
    """Return arrays as data for an objective.

    Args:
        objective: ``classification(...)`` or ``regression(...)``.
        inputs: numbers ``[T, N, D]``, or symbols ``[T, N]``, whole numbers from 0 to D - 1.
        targets: one answer for each sequence, asked at its last step: classes ``[N]`` or numbers ``[N, K]``; or one for
            each step: classes ``[T, N]`` or numbers ``[T, N, K]``. For K = 1 the last axis may be left out.
        lengths: steps of each sequence, from 1 to T; None: T. What is beyond may hold anything.

    Raises:
        ArgumentError: if shapes do not fit each other or the objective, or values are out of range.
    """
    xs = _inputs(objective, np.asarray(inputs))
    steps, count = xs.shape[:2]
    ends = np.full(count, steps) if lengths is None else np.asarray(lengths)
    if ends.shape != (count,) or not np.issubdtype(ends.dtype, np.integer):
        raise ArgumentError(f"`lengths` must be {count} whole numbers, one for each sequence, not {ends.shape}")
    if count and not (ends.min() >= 1 and ends.max() <= steps):
        found = f"{ends.min()} to {ends.max()}"
        raise ArgumentError(f"`lengths` must be from 1 to {steps}, the steps of `inputs`, not {found}")
    within = np.arange(steps)[:, None] < ends
    answers, of_steps = _targets(objective, np.asarray(targets), steps, count)
    asked = within
    if not of_steps:
        asked = np.arange(steps)[:, None] == ends - 1
        answers = np.broadcast_to(answers, (steps, *answers.shape))
    _check_values(objective, xs, answers, asked=asked, within=within)
    xs = np.where(within.reshape(*within.shape, *[1] * (xs.ndim - 2)), xs, np.zeros((), xs.dtype))
    answers = np.where(asked.reshape(*asked.shape, *[1] * (answers.ndim - 2)), answers, np.zeros((), answers.dtype))
    ends = None if lengths is None else jnp.asarray(ends, jnp.int32)
    return SequenceData(jnp.asarray(xs), jnp.asarray(answers), jnp.asarray(asked), ends)


def take(data: SequenceData, numbers: Int[Array, " B"]) -> SequenceData:
    """Return the sequences of these numbers."""
    lengths = None if data.lengths is None else data.lengths[numbers]
    return SequenceData(data.inputs[:, numbers], data.targets[:, numbers], data.mask[:, numbers], lengths)


def _inputs(objective: Objective, inputs: np.ndarray) -> np.ndarray:
    """Return inputs as float32 numbers or int32 symbols."""
    if np.issubdtype(inputs.dtype, np.integer) and inputs.ndim == 2:
        return inputs.astype(np.int32)
    if inputs.ndim != 3 or inputs.shape[-1] != objective.input_size or not np.issubdtype(inputs.dtype, np.floating):
        raise ArgumentError(
            f"`inputs` must be floating-point numbers [T, N, {objective.input_size}] or whole numbers [T, N], not "
            f"{inputs.dtype} of shape {inputs.shape}"
        )
    return inputs if inputs.dtype == np.float64 and jax.config.read("jax_enable_x64") else inputs.astype(np.float32)


def _targets(objective: Objective, targets: np.ndarray, steps: int, count: int) -> tuple[np.ndarray, bool]:
    """Return targets as int32 classes or floats with a last axis, and whether there is one for each step."""
    classes = objective.takes_classes
    width = () if classes else (objective.output_size,)
    if not classes and objective.output_size == 1 and targets.shape in ((count,), (steps, count)):
        targets = targets[..., None]
    kind: Any = np.integer if classes else np.floating
    shapes = {(count, *width): False, (steps, count, *width): True}
    if targets.shape not in shapes or not np.issubdtype(targets.dtype, kind):
        wanted = "whole numbers" if classes else "floating-point numbers"
        raise ArgumentError(
            f"`targets` must be {wanted} of shape {' or '.join(map(str, shapes))}, not {targets.dtype} of shape "
            f"{targets.shape}"
        )
    return targets.astype(np.int32 if classes else np.float32), shapes[targets.shape]


def _check_values(
    objective: Objective, xs: np.ndarray, answers: np.ndarray, *, asked: np.ndarray, within: np.ndarray
) -> None:
    """Check the values that count.

    Raises:
        ArgumentError: for a symbol or a class out of range, or a number that is not finite.
    """
    for name, array, counts, size in (
        ("inputs", xs, within, objective.input_size),
        ("targets", answers, asked, objective.output_size),
    ):
        found = array[counts]
        if np.issubdtype(array.dtype, np.integer):
            if found.size and not (found.min() >= 0 and found.max() < size):
                raise ArgumentError(f"`{name}` must be from 0 to {size - 1}, not {found.min()} to {found.max()}")
        elif not np.isfinite(found).all():
            raise ArgumentError(f"`{name}` has numbers that are not finite: leave those sequences out")
