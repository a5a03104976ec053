"""A matrix divided by a power of two: nothing that is computed from it over- or underflows, and no digit is lost."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int


class PowerOfTwo(NamedTuple):
    """``2**exponent · matrix``, the largest entry between ½ and 1: whole exponents add up without rounding."""

    exponent: Int[Array, "*B"]
    matrix: Float[Array, "*B m n"]


def power_of_two(matrix: Float[Array, "*B m n"]) -> PowerOfTwo:
    """A matrix as a ``PowerOfTwo``; a matrix of zeros has exponent 0, and one that is not finite is all NaN."""
    largest = jax.lax.stop_gradient(jnp.abs(matrix).max(axis=(-2, -1), initial=0))
    _, exponent = jnp.frexp(largest)
    # In two factors: 2**-exponent alone may itself leave the range.
    half = -(exponent // 2)
    one = jnp.where(jnp.isfinite(largest), jnp.ones((), matrix.dtype), jnp.nan)
    first, second = (jnp.ldexp(one, shift)[..., None, None] for shift in (half, -exponent - half))
    return PowerOfTwo(exponent, matrix * first * second)
