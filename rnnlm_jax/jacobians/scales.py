"""Positive numbers of any size, a mantissa and a power of two each: nothing over- or underflows.

A running sum of logarithms loses what its total outgrows; a product of mantissas loses an ε a factor, and a factor of
one half nothing at all.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.jacobians.power_of_two import times_power_of_two

#: ln 2 in two parts, the first so short that its product with an exponent (to 2²⁰; in float32 to 2¹⁵) is exact.
LN2 = {"float64": (0.69314718036912381649, 1.9082149292705877e-10), "float32": (0.693359375, -2.1219444005469058e-4)}


class Scales(NamedTuple):
    """``mantissa · 2^exponent``, the mantissa in [½, 1), or 0 for zero."""

    mantissa: Float[Array, "*n"]
    exponent: Int[Array, "*n"]


def ones(shape: tuple[int, ...], dtype: Any) -> Scales:
    """All one."""
    return times(Scales(jnp.ones(shape, dtype), jnp.zeros(shape, jnp.int32)), jnp.ones((), dtype))


def times(scales: Scales, factors: Float[Array, "*n"]) -> Scales:
    """Scales multiplied by factors, which are not negative."""
    mantissa, shift = jnp.frexp(scales.mantissa * factors)
    exponent = jnp.where(mantissa > 0, scales.exponent + shift, jnp.zeros((), jnp.int32))
    return Scales(mantissa, exponent)


def shifted(scales: Scales, exponent: Int[Array, ""]) -> Scales:
    """Scales multiplied by a power of two; zeros stay as they are."""
    return Scales(scales.mantissa, jnp.where(scales.mantissa == 0, scales.exponent, scales.exponent + exponent))


def ratio(numerator: Scales, denominator: Scales, factors: Float[Array, "*n"] | float = 1.0) -> Float[Array, "*n"]:
    """``factors · numerator / denominator`` as plain numbers, 0 where the denominator is 0; shapes broadcast.

    The factors come first, so that no product over- or underflows on its way to a result that does not.
    """
    live = denominator.mantissa != 0  # NaN stays NaN
    below = jnp.where(live, denominator.mantissa, jnp.ones((), denominator.mantissa.dtype))
    quotient = jnp.where(live, factors * (numerator.mantissa / below), jnp.zeros((), below.dtype))
    return times_power_of_two(quotient, numerator.exponent - denominator.exponent)


def take(scales: Scales, index: Any) -> Scales:
    """The scales at an index, a slice or an order."""
    return jax.tree.map(lambda part: part[index], scales)


def log(scales: Scales) -> Float[Array, "*n"]:
    """Natural logarithms, right to the last digit that the type can hold; -inf, with a derivative of 0, for zero."""
    dtype = scales.mantissa.dtype
    high, low = (jnp.asarray(part, dtype) for part in LN2[dtype.name])
    # a mantissa between √½ and √2: a power of two has no logarithm left to round
    small = scales.mantissa < jnp.asarray(0.5**0.5, dtype)
    mantissa = jnp.where(small, 2 * scales.mantissa, scales.mantissa)
    exponent = (scales.exponent - small.astype(jnp.int32)).astype(dtype)
    zero = mantissa == 0
    logs = jnp.log(jnp.where(zero, jnp.ones((), dtype), mantissa))
    return jnp.where(zero, -jnp.inf, exponent * high + (exponent * low + logs))


def order(scales: Scales, factors: Float[Array, "*n"]) -> Int[Array, "*n"]:
    """What sorts ``scales · factors``, the largest first."""
    return jnp.argsort(-(scales.exponent.astype(factors.dtype) + jnp.log2(scales.mantissa * factors)))
