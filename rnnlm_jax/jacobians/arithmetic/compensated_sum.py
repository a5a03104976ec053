"""Compensated summation: the rounding errors of a running total are summed beside it (Neumaier 1974)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnlm_jax.array_types import Array, Float


class CompensatedSum(NamedTuple):
    """A running total, and the sum of the rounding errors made in forming it."""

    total: Float[Array, "*n"]
    compensation: Float[Array, "*n"]


def zero(dtype: DTypeLike, shape: tuple[int, ...] = ()) -> CompensatedSum:
    """Return the empty sum."""
    return CompensatedSum(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def add(running: CompensatedSum, term: Float[Array, "*n"]) -> CompensatedSum:
    """Return the sum with one more term; an infinite term makes it infinite."""
    total = running.total + term
    larger = jnp.abs(running.total) >= jnp.abs(term)
    lost = jnp.where(larger, (running.total - total) + term, (term - total) + running.total)
    lost = jnp.where(jnp.isfinite(total), lost, jnp.zeros((), total.dtype))
    return CompensatedSum(total, running.compensation + lost)


def value(running: CompensatedSum) -> Float[Array, "*n"]:
    """Return the sum as one number."""
    return running.total + running.compensation
