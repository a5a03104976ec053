"""Mean-field theory of wide random networks: the variance of their activations, and what a layer does to gradients.

A layer computes ``z = W h + b`` with independent ``W_ij ~ N(0, σ_w²/N)`` and ``b_i ~ N(0, σ_b²)`` from N activations
with mean m and mean square p. As N grows, every ``z_i`` is ``N(0, q)`` with ``q = σ_w² p + σ_b²``, and averages over
units become integrals over one normal variable, ``⟨f⟩_q = ∫ Dz f(√q z)``. A gradient with respect to the outputs of a
layer becomes one with respect to its inputs whose expected square is χ times as large.

==========  ============================================  ==========================================================
layer       ``h'``                                        ``χ``
==========  ============================================  ==========================================================
plain       ``φ(z)``                                      ``σ_w² ⟨φ'²⟩``
residual    ``h + α φ(z)``                                ``1 + α² σ_w² ⟨φ'²⟩``
highway     ``T φ(z) + (1 - T) h``, ``T = σ(z_T + b_T)``  ``⟨T²⟩ σ_w² ⟨φ'²⟩ + ⟨(1 - T)²⟩ + σ_T² ⟨T'²⟩ ⟨(φ(z) - h)²⟩``
==========  ============================================  ==========================================================

Here ``z_T = W_T h`` has the variance ``σ_T² p``, and ``⟨(φ(z) - h)²⟩ = ⟨φ²⟩ - 2 m ⟨φ⟩ + p``. Weights are taken to be
independent of the gradient that comes back, and units of each other.

For plain networks, Poole et al. (2016), "Exponential expressivity in deep neural networks through transient chaos", and
Schoenholz et al. (2017), "Deep information propagation"; for residual ones, Yang & Schoenholz (2017), "Mean field
residual networks: on the edge of chaos". The highway layer follows from the same averages.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnlm_jax.jacobians.mean_field import NONLINEARITIES, Nonlinearity, gaussian_mean


class Moments(NamedTuple):
    """Mean and mean square of the activations of a layer."""

    mean: float
    square: float


class LayerEffect(NamedTuple):
    """What a layer does to activations and gradients."""

    moments: Moments
    """Of the activations after it."""
    gradient: float
    """χ, the factor of the expected squared gradient, from the outputs to the inputs."""


#: A layer with all its constants: moments of its inputs to its effect.
LayerMap = Callable[[Moments], LayerEffect]


def gradient_factor(activation: Nonlinearity, variance: float, weight_variance: float) -> float:
    """Return ``χ = σ_w² ∫ Dz φ'(√q z)²`` of a plain layer (Schoenholz et al. 2017, equation 5, at c = 1).

    Args:
        activation: φ.
        variance: q, of the numbers that φ is applied to.
        weight_variance: σ_w².
    """
    return weight_variance * gaussian_mean(lambda x: activation.slope(x) ** 2, variance)


def plain_layer(
    activation: Nonlinearity, before: Moments, *, weight_variance: float, bias_variance: float = 0.0
) -> LayerEffect:
    """Return the effect of ``h' = φ(W h + b)``."""
    q = weight_variance * before.square + bias_variance
    return LayerEffect(_moments_after(activation, q), gradient_factor(activation, q, weight_variance))


def residual_layer(
    activation: Nonlinearity,
    before: Moments,
    *,
    weight_variance: float,
    bias_variance: float = 0.0,
    scale: float = 1.0,
) -> LayerEffect:
    """Return the effect of ``h' = h + α φ(W h + b)``, with ``scale = α``."""
    branch = plain_layer(activation, before, weight_variance=weight_variance, bias_variance=bias_variance)
    mean = before.mean + scale * branch.moments.mean
    square = before.square + 2 * scale * before.mean * branch.moments.mean + scale**2 * branch.moments.square
    return LayerEffect(Moments(mean, square), 1 + scale**2 * branch.gradient)


def highway_layer(
    activation: Nonlinearity,
    before: Moments,
    *,
    weight_variance: float,
    gate_variance: float,
    gate_bias: float,
    bias_variance: float = 0.0,
) -> LayerEffect:
    """Return the effect of ``h' = T φ(W h + b) + (1 - T) h`` with ``T = σ(W_T h + b_T)``.

    Args:
        activation: φ.
        before: moments of h.
        weight_variance: σ_w².
        gate_variance: σ_T², N times the variance of the entries of ``W_T``.
        gate_bias: b_T, equal for all units.
        bias_variance: σ_b².
    """
    branch = plain_layer(activation, before, weight_variance=weight_variance, bias_variance=bias_variance)
    gate, q_gate = NONLINEARITIES["sigmoid"], gate_variance * before.square

    def gate_mean(function: Callable[[np.ndarray], np.ndarray]) -> float:
        return gaussian_mean(function, q_gate, gate_bias)

    transform, transform_square = gate_mean(gate.value), gate_mean(lambda x: gate.value(x) ** 2)
    carry_square = gate_mean(lambda x: gate.value(-x) ** 2)
    both = transform - transform_square
    slope_square = gate_mean(lambda x: gate.slope(x) ** 2)
    difference = branch.moments.square - 2 * before.mean * branch.moments.mean + before.square
    mean = transform * branch.moments.mean + (1 - transform) * before.mean
    square = transform_square * branch.moments.square + carry_square * before.square
    square += 2 * both * branch.moments.mean * before.mean
    gradient = transform_square * branch.gradient + carry_square + gate_variance * slope_square * difference
    return LayerEffect(Moments(mean, square), gradient)


def log_gradient_factors(layer: LayerMap, start: Moments, depth: int) -> np.ndarray:
    """Return ``ln χ`` of each of the layers of a network, the first layer first.

    Args:
        layer: the effect of one layer, all being alike.
        start: moments of the inputs of the first layer.
        depth: the number of layers.
    """
    factors, moments = [], start
    for _ in range(depth):
        moments, gradient = layer(moments)
        factors.append(math.log(gradient))
    return np.array(factors)


def limiting_factor(layer: LayerMap, start: Moments, *, layers: int = 10_000, tolerance: float = 1e-10) -> float | None:
    """Return the χ that the layers of a deep network come to; None if it still changes after so many layers.

    It has converged where χ, and the ratios of successive mean squares, change by less than the tolerance.
    """
    before, moments = (math.inf, math.inf), start
    for _ in range(layers):
        after, gradient = layer(moments)
        now = (gradient, after.square / moments.square if moments.square else 1.0)
        if all(abs(a - b) <= tolerance * abs(a) for a, b in zip(now, before, strict=True)):
            return gradient
        before, moments = now, after
    return None


def _moments_after(activation: Nonlinearity, variance: float) -> Moments:
    return Moments(
        gaussian_mean(activation.value, variance), gaussian_mean(lambda x: activation.value(x) ** 2, variance)
    )
