"""Logarithms of the slopes of activations, formed from the argument: exact where the activation is saturated."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array


def log_sigmoid_slope(a: Array) -> Array:
    """Return ``ln σ'(a) = -|a| - 2 ln(1 + e^{-|a|})``, elementwise."""
    return -jnp.abs(a) - 2 * jnp.log1p(jnp.exp(-jnp.abs(a)))


def log_tanh_slope(a: Array) -> Array:
    """Return ``ln tanh'(a) = ln 4 + ln σ'(2a)``, elementwise; ``1 - tanh²`` would cancel."""
    return math.log(4) + log_sigmoid_slope(2 * a)


def log_abs_tanh(a: Array) -> Array:
    """Return ``ln|tanh a|``, elementwise; -inf, with a derivative of 0, at zero."""
    zero = a == 0
    doubled = -2 * jnp.abs(jnp.where(zero, jnp.ones_like(a), a))
    return jnp.where(zero, -jnp.inf, jnp.log(-jnp.expm1(doubled)) - jnp.log1p(jnp.exp(doubled)))


def log_relu_slope(a: Array) -> Array:
    """Return ``ln 1`` where ``a > 0`` and ``ln 0`` elsewhere; NaN stays NaN."""
    return jnp.where(a > 0, jnp.zeros_like(a), jnp.where(jnp.isnan(a), a, -jnp.inf))


def log_abs_slope(function: Callable[[Array], Array], a: Array) -> Array:
    """Return ``ln|f'(a)|`` of an elementwise function, by forward mode; -inf where the slope is zero."""
    _, slope = jax.jvp(function, (a,), (jnp.ones_like(a),))
    return jnp.log(jnp.abs(slope))
