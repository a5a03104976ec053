"""A sum of many terms, right to the last digit: what rounding takes from the total is carried along."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float


class Sum(NamedTuple):
    """A running total, and what rounding has taken from it so far (Neumaier 1974)."""

    total: Float[Array, "*n"]
    lost: Float[Array, "*n"]


def zero(dtype: Any, shape: tuple[int, ...] = ()) -> Sum:
    """The empty sum."""
    return Sum(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def add(running: Sum, term: Float[Array, "*n"]) -> Sum:
    """The sum with one more term; an infinite one makes it infinite."""
    total = running.total + term
    larger = jnp.abs(running.total) >= jnp.abs(term)
    lost = jnp.where(larger, (running.total - total) + term, (term - total) + running.total)
    return Sum(total, running.lost + jnp.where(jnp.isfinite(total), lost, jnp.zeros((), total.dtype)))


def value(running: Sum) -> Float[Array, "*n"]:
    """The sum as one number."""
    return running.total + running.lost
