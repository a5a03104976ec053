"""Averages of the parameters over training: exponential, and from a trigger on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Tree


class Average(NamedTuple):
    """A running average of parameters; with ``count`` 0 it holds the parameters of the start."""

    params: Tree
    count: Int[Array, ""]
    """Updates that are averaged."""


def start_average(params: Tree) -> Average:
    """Return the average before the first update."""
    return Average(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))


def exponential_average(average: Average, params: Tree, decay: Float[Array, ""] | float) -> Average:
    """Return ``a ← d a + (1 - d) p``, from ``a = p`` at the start (Polyak & Juditsky 1992).

    During the first updates d is at most ``(1 + n) / (10 + n)``, so that the average leaves its start soon.
    """
    n = average.count.astype(jnp.float32)
    d = jnp.minimum(jnp.asarray(decay, jnp.float32), (1 + n) / (10 + n))
    moved = jax.tree.map(lambda a, p: a + (1 - d).astype(a.dtype) * (p - a), average.params, params)
    return Average(moved, average.count + 1)


def arithmetic_average(average: Average, params: Tree) -> Average:
    """Return the mean of the parameters after each update since the trigger, ``a ← a + (p - a) / n``."""
    count = average.count + 1
    share = 1 / count.astype(jnp.float32)
    moved = jax.tree.map(lambda a, p: a + share.astype(a.dtype) * (p - a), average.params, params)
    return Average(moved, count)


def non_monotonic(losses: list[float], interval: int = 5) -> bool:
    """Return whether averaging begins: the newest loss is above the best of all but the last ``interval`` before it.

    The trigger of NT-ASGD as its authors' program has it, ``v > min(losses[:-interval])`` (Merity et al. 2018,
    algorithm 1, whose index is a misprint).

    Args:
        losses: validation losses, the newest one last.
        interval: n.
    """
    *before, newest = losses
    return len(before) > interval and newest > min(before[:-interval])
