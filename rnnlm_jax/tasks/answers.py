"""Losses of answers, and when an answer counts as right: functions of a model's outputs and the targets.

A model outputs plain numbers o. Two readings of them are at hand for classes and for bits: that of today, in nats, and
that of the experiments of the 1990s, logistic outputs ``σ(o)`` with half the squared error, summed over outputs. The
half makes the gradient the published one, so that published learning rates carry over.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.cells.cell import check_choice
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.tasks.objective import AnswerFn


class Answers(NamedTuple):
    """How the answers of a task are judged, by the name of a loss."""

    loss: AnswerFn
    """The loss of each answer."""
    correct: AnswerFn
    """Whether each answer is right."""
    blind_loss: Callable[[Sequence[float]], float]
    """The mean loss of the best constant answer: of the probabilities of the classes, of the probability of a one for
    each bit, or of the variance of each number."""


def class_nats(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Return ``-ln softmax(outputs)[target]``, the loss of a classification."""
    log_probs = jax.nn.log_softmax(outputs, axis=-1)
    return -jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


def class_logistic(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Return ``½ Σ_k (σ(outputs_k) − [k = target])²``."""
    return bit_logistic(outputs, jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype))


def class_is_right(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Bool[Array, "*B"]:
    """Return whether the class with the largest output is the target; outputs that are not finite are wrong."""
    finite = jnp.isfinite(outputs).all(axis=-1)
    return finite & (jnp.argmax(outputs, axis=-1).astype(targets.dtype) == targets)


def bit_nats(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Float[Array, "*B"]:
    """Return ``-Σ_k [t_k ln σ(o_k) + (1 − t_k) ln (1 − σ(o_k))]``, which is least where σ(o) is the mean target."""
    return (jax.nn.softplus(outputs) - targets.astype(outputs.dtype) * outputs).sum(axis=-1)


def bit_logistic(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Float[Array, "*B"]:
    """Return ``½ Σ_k (σ(o_k) − t_k)²``."""
    return jnp.square(jax.nn.sigmoid(outputs) - targets.astype(outputs.dtype)).sum(axis=-1) * 0.5


def squared_error(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Float[Array, "*B"]:
    """Return ``Σ_k (o_k − t_k)²``."""
    return jnp.square(outputs - targets.astype(outputs.dtype)).sum(axis=-1)


def class_answers(loss: str, tolerance: float | None = None) -> Answers:
    """Return the judgement of classes ``[*B]``.

    Args:
        loss: "nats" (softmax) or "logistic".
        tolerance: an answer is right if the softmax, or the logistic outputs, differ by less from the one-hot target
            in each class; None: if the largest output is the target.

    Raises:
        ArgumentError: for another loss.
    """
    check_choice("loss", loss, ("nats", "logistic"))
    in_nats = loss == "nats"

    def within_tolerance(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Bool[Array, "*B"]:
        assert tolerance is not None
        probs = jax.nn.softmax(outputs) if in_nats else jax.nn.sigmoid(outputs)
        return _all_within(probs, jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype), tolerance)

    def blind_loss(probabilities: Sequence[float]) -> float:
        if in_nats:
            return sum(-p * math.log(p) for p in probabilities if p > 0)
        return sum(p * (1 - p) for p in probabilities) / 2

    correct = class_is_right if tolerance is None else within_tolerance
    return Answers(class_nats if in_nats else class_logistic, correct, blind_loss)


def bit_answers(loss: str, tolerance: float = 0.5) -> Answers:
    """Return the judgement of bits ``[*B, K]``; an answer is right if each ``σ(o_k)`` is within the tolerance.

    Raises:
        ArgumentError: for a loss other than "nats" and "logistic".
    """
    check_choice("loss", loss, ("nats", "logistic"))

    def correct(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Bool[Array, "*B"]:
        return _all_within(jax.nn.sigmoid(outputs), targets.astype(outputs.dtype), tolerance)

    def blind_loss(probabilities: Sequence[float]) -> float:
        if loss == "nats":
            return sum(-q * math.log(q) for p in probabilities for q in (p, 1 - p) if q > 0)
        return sum(p * (1 - p) for p in probabilities) / 2

    return Answers(bit_nats if loss == "nats" else bit_logistic, correct, blind_loss)


def number_answers(loss: str, tolerance: float) -> Answers:
    """Return the judgement of numbers ``[*B, K]``; an answer is right if each output is within the tolerance.

    Args:
        loss: "squared": linear outputs, the squared error. "logistic": σ(o), half the squared error.
        tolerance: the least error of an output that counts as wrong.

    Raises:
        ArgumentError: for another loss.
    """
    check_choice("loss", loss, ("squared", "logistic"))
    is_linear = loss == "squared"

    def correct(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Bool[Array, "*B"]:
        numbers = outputs if is_linear else jax.nn.sigmoid(outputs)
        return _all_within(numbers, targets.astype(outputs.dtype), tolerance)

    def blind_loss(variances: Sequence[float]) -> float:
        return sum(variances) * (1 if is_linear else 0.5)

    return Answers(squared_error if is_linear else bit_logistic, correct, blind_loss)


def check_count(name: str, value: int, *, least: int) -> int:
    """Return an option of a factory that is a whole number.

    Raises:
        ArgumentError: if it is not one, or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"`{name}` must be a whole number of at least {least}, not {value!r}")
    return value


def _all_within(values: Float[Array, "*B K"], targets: Float[Array, "*B K"], tolerance: float) -> Bool[Array, "*B"]:
    """Return whether all values are within a tolerance; NaN is not."""
    return (jnp.abs(values - targets) < tolerance).all(axis=-1)
