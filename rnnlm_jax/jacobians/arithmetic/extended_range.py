"""Nonnegative numbers with a mantissa and a separate int32 exponent, which neither overflow nor underflow.

They are kept in place of logarithms for accuracy: adding to a logarithm rounds relative to the logarithm's size, while
a multiplication of mantissas costs a relative error ε, and none at all for powers of two.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.power_of_two import times_power_of_two

#: ln 2 as a sum of two parts; the first is so short that its product with an exponent (up to 2²⁰; 2¹⁵ in float32) is
#: exact.
LN2 = {"float64": (0.69314718036912381649, 1.9082149292705877e-10), "float32": (0.693359375, -2.1219444005469058e-4)}


class ExtendedFloats(NamedTuple):
    """``mantissa · 2^exponent`` with the mantissa in [½, 1), or 0 for zero."""

    mantissa: Float[Array, "*n"]
    exponent: Int[Array, "*n"]


def ones(shape: tuple[int, ...], dtype: DTypeLike) -> ExtendedFloats:
    """Return numbers that are all 1."""
    return times(ExtendedFloats(jnp.ones(shape, dtype), jnp.zeros(shape, jnp.int32)), jnp.ones((), dtype))


def times(numbers: ExtendedFloats, factors: Float[Array, "..."]) -> ExtendedFloats:
    """Multiply by nonnegative factors of the same dtype."""
    mantissa, shift = jnp.frexp(numbers.mantissa * factors)
    exponent = jnp.where(mantissa > 0, numbers.exponent + shift, jnp.zeros((), jnp.int32))
    return ExtendedFloats(mantissa, exponent)


def shift_exponent(numbers: ExtendedFloats, exponent: Int[Array, ""]) -> ExtendedFloats:
    """Multiply by ``2^exponent``; zeros stay as they are."""
    return ExtendedFloats(
        numbers.mantissa, jnp.where(numbers.mantissa == 0, numbers.exponent, numbers.exponent + exponent)
    )


def ratio(
    numerator: ExtendedFloats, denominator: ExtendedFloats, factors: Float[Array, "..."] | float = 1.0
) -> Float[Array, "..."]:
    """Return ``factors · numerator / denominator`` as plain floats, 0 where the denominator is 0; shapes broadcast.

    The factors are multiplied with the mantissas first, so that only a result that is out of range itself overflows or
    underflows.
    """
    live = denominator.mantissa != 0  # NaN stays NaN
    divisor = jnp.where(live, denominator.mantissa, jnp.ones((), denominator.mantissa.dtype))
    quotient = jnp.where(live, factors * (numerator.mantissa / divisor), jnp.zeros((), divisor.dtype))
    return times_power_of_two(quotient, numerator.exponent - denominator.exponent)


def take(numbers: ExtendedFloats, index: Any) -> ExtendedFloats:
    """Index both parts: ``index`` is anything that indexes an array."""
    return jax.tree.map(lambda part: part[index], numbers)


def log(numbers: ExtendedFloats) -> Float[Array, "*n"]:
    """Return natural logarithms to full precision; -inf, with derivative 0, for zero."""
    dtype = numbers.mantissa.dtype
    high, low = (jnp.asarray(part, dtype) for part in LN2[dtype.name])
    # Move the mantissa to [√½, √2), so that the logarithm of a power of two has no rounded part.
    small = numbers.mantissa < jnp.asarray(0.5**0.5, dtype)
    mantissa = jnp.where(small, 2 * numbers.mantissa, numbers.mantissa)
    exponent = (numbers.exponent - small.astype(jnp.int32)).astype(dtype)
    zero = mantissa == 0
    logs = jnp.log(jnp.where(zero, jnp.ones((), dtype), mantissa))
    return jnp.where(zero, -jnp.inf, exponent * high + (exponent * low + logs))


def descending_order(numbers: ExtendedFloats, factors: Float[Array, " n"]) -> Int[Array, " n"]:
    """Return the permutation that sorts ``numbers · factors``, the largest first."""
    return jnp.argsort(-(numbers.exponent.astype(factors.dtype) + jnp.log2(numbers.mantissa * factors)))
