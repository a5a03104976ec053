"""A matrix divided by a power of two: nothing that is computed from it over- or underflows, and no digit is lost."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int


class PowerOfTwo(NamedTuple):
    """``2**exponent · matrix``, the largest entry between ½ and 1: whole exponents add up without rounding."""

    exponent: Int[Array, "*B"]
    matrix: Float[Array, "*B m n"]


def power_of_two(matrix: Float[Array, "*B m n"]) -> PowerOfTwo:
    """A matrix as a ``PowerOfTwo``; a matrix of zeros has exponent 0, and one that is not finite is all NaN."""
    largest = jax.lax.stop_gradient(jnp.abs(matrix).max(axis=(-2, -1), initial=0))
    _, exponent = jnp.frexp(largest)
    matrix = jnp.where(jnp.isfinite(largest)[..., None, None], matrix, jnp.nan)
    return PowerOfTwo(exponent, times_power_of_two(matrix, -exponent[..., None, None]))


def times_power_of_two(values: Float[Array, "*n"], exponents: Int[Array, "*n"]) -> Float[Array, "*n"]:
    """``values · 2^exponents``, shapes broadcast; 0 or inf beyond the range of the type.

    (``jnp.ldexp`` computes a power at each entry.) In two factors made of their bits, since the power alone may leave
    the range.
    """
    about = jnp.finfo(values.dtype)
    signed = np.dtype(f"int{about.bits}")
    exponents = jnp.clip(exponents, 2 * about.minexp, 2 * about.maxexp - 2)
    for half in (exponents >> 1, exponents - (exponents >> 1)):
        bits = (half - about.minexp + 1).astype(signed) << about.nmant
        values = values * jax.lax.bitcast_convert_type(bits, values.dtype)
    return values
