"""Losses of answers, and when an answer counts as right: functions of a model's outputs and the targets."""

import functools

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int
from rnnlm_jax.tasks.objective import AnswerFn


def class_nats(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Return ``-ln softmax(outputs)[target]``, the loss of a classification."""
    log_probs = jax.nn.log_softmax(outputs, axis=-1)
    return -jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


def class_is_right(outputs: Float[Array, "*B K"], targets: Int[Array, "*B"]) -> Bool[Array, "*B"]:
    """Return whether the class with the largest output is the target; outputs that are not finite are wrong."""
    finite = jnp.isfinite(outputs).all(axis=-1)
    return finite & (jnp.argmax(outputs, axis=-1).astype(targets.dtype) == targets)


def squared_error(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Float[Array, "*B"]:
    """Return ``(outputs - targets)²``, the mean over the K numbers."""
    return jnp.square(outputs - targets.astype(outputs.dtype)).mean(axis=-1)


@functools.cache
def is_within(tolerance: float) -> AnswerFn:
    """Return the function that says whether all K numbers are less than ``tolerance`` from their targets."""

    def within(outputs: Float[Array, "*B K"], targets: Float[Array, "*B K"]) -> Bool[Array, "*B"]:
        return (jnp.abs(outputs - targets.astype(outputs.dtype)) < tolerance).all(axis=-1)

    return within
