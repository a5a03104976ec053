"""Mean-field theory of random networks: closed forms, multiprecision quadrature, and wide networks."""

import functools
import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from experiments.deep_networks.mean_field import (
    Moments,
    gradient_factor,
    highway_layer,
    limiting_factor,
    log_gradient_factors,
    plain_layer,
    residual_layer,
)
from experiments.deep_networks.networks import VARIANTS, Network, Variant, moments
from rnnlm_jax.compilation import jit
from rnnlm_jax.jacobians.mean_field import NONLINEARITIES, decay_length, fixed_variance

SIGMOID, TANH, RELU = (NONLINEARITIES[name] for name in ("sigmoid", "tanh", "relu"))


def in_multiprecision(function, variance):
    """Return ``∫ Dz f(√q z)`` by mpmath; the integrand is split where it changes fast."""
    root = mpmath.sqrt(variance)

    def integrand(x):
        return function(x) * mpmath.exp(-(x**2) / (2 * variance)) / (root * mpmath.sqrt(2 * mpmath.pi))

    edges = sorted({0, *(sign * x for sign in (-1, 1) for x in (1, 5, 30, root, 5 * root, 14 * root))})
    with mpmath.workdps(25):
        return float(mpmath.quad(integrand, edges))


def test_relu_has_closed_forms():
    for q in (0.0, 1e-9, 1.0, 1e30):
        assert gradient_factor(RELU, q, 1.7) == pytest.approx(0.85, rel=1e-13)
    for q in (1e-9, 1.0, 1e30):
        assert plain_layer(RELU, Moments(0.0, q), weight_variance=1.7).moments.square == pytest.approx(
            0.85 * q, rel=1e-12
        )
    assert fixed_variance(RELU, 1.5, 0.1) == pytest.approx(0.1 / (1 - 0.75), rel=1e-12)
    assert fixed_variance(RELU, 2.0, 0.0, start=3.0) == 3.0  # every variance stays
    assert fixed_variance(RELU, 1.0, 0.0) == 0.0
    assert fixed_variance(RELU, 2.5, 0.0) == math.inf
    assert gradient_factor(RELU, 1.0, 2.0) == pytest.approx(1, rel=1e-13)
    assert decay_length(gradient_factor(RELU, 1.0, 1 / 3)) == pytest.approx(1 / math.log(6), rel=1e-12)


def test_tanh_is_critical_at_one():
    """Without biases, q* is 0 up to σ_w² = 1, where χ is 1; beyond it activity is kept, and gradients explode."""
    for weight_variance in (0.3, 1.0):
        assert fixed_variance(TANH, weight_variance, 0.0) == 0.0
        assert gradient_factor(TANH, 0.0, weight_variance) == pytest.approx(weight_variance, rel=1e-13)
    assert decay_length(gradient_factor(TANH, 0.0, 1.0)) == math.inf
    variance = fixed_variance(TANH, 2.0, 0.0)
    assert 2 * in_multiprecision(lambda x: mpmath.tanh(x) ** 2, variance) == pytest.approx(variance, rel=1e-12)
    assert gradient_factor(TANH, variance, 2.0) > 1
    assert fixed_variance(TANH, 2.0, 0.0, start=1e-4) == pytest.approx(variance, rel=1e-12)


def test_the_sigmoid_loses_more_than_a_factor_of_four():
    """χ is at most σ_w²/16, the square of a quarter, whatever q is."""
    variance = fixed_variance(SIGMOID, 1.0, 0.0)
    exact = in_multiprecision(lambda x: 1 / (1 + mpmath.exp(-x)) ** 2, variance)
    assert exact == pytest.approx(variance, rel=1e-12)
    assert 0.05 < gradient_factor(SIGMOID, variance, 1.0) < 1 / 16
    assert gradient_factor(SIGMOID, 0.0, 1.0) == pytest.approx(1 / 16, rel=1e-13)


def test_limits_of_deep_networks():
    start = Moments(0.1, 1.0)
    plain = functools.partial(plain_layer, SIGMOID, weight_variance=1.0)
    expected = gradient_factor(SIGMOID, fixed_variance(SIGMOID, 1.0, 0.0), 1.0)
    assert limiting_factor(plain, start) == pytest.approx(expected, rel=1e-9)
    residual = functools.partial(residual_layer, RELU, weight_variance=2.0)
    assert limiting_factor(residual, start) == pytest.approx(2, rel=1e-12)  # 1 + σ_w²/2
    for weight_variance, activation in ((1.0, TANH), (2.0, RELU)):  # activity dies out: T and 1 - T of the bias alone
        highway = functools.partial(
            highway_layer, activation, weight_variance=weight_variance, gate_variance=1.0, gate_bias=-3.0
        )
        transform = 1 / (1 + math.exp(3))
        assert limiting_factor(highway, start) == pytest.approx(transform**2 + (1 - transform) ** 2, rel=1e-6)
    critical = functools.partial(plain_layer, TANH, weight_variance=1.0)
    assert limiting_factor(critical, start, layers=50) is None


#: With the largest relative error. A mean of φ² over N units of relu varies by √(5/N), which adds up in plain layers.
WIDE = [
    ("sigmoid", VARIANTS["plain"], 0.1),
    ("tanh", VARIANTS["plain-uniform"], 0.1),
    ("relu", VARIANTS["plain"], 0.25),
    ("sigmoid", VARIANTS["residual"], 0.1),
    ("relu", VARIANTS["residual-scaled"], 0.1),
    ("tanh", Variant("highway", "", gate_bias=-1.0), 0.1),
    ("relu", Variant("highway", "", gate_bias=0.5), 0.1),
]


@pytest.mark.parametrize(
    ("activation", "variant", "error"), WIDE, ids=[f"{name}-{variant.connection}" for name, variant, _ in WIDE]
)
def test_wide_networks_follow_the_theory(activation, variant, error):
    """Squared activations and gradients of 4 inputs through 5 layers of 1,000 units."""
    network = Network(activation, variant, 5, 1000, 3)
    x = jnp.asarray(np.random.default_rng(0).normal(0.3, 1, size=(4, 1000)), jnp.float32)
    back = jnp.asarray(np.random.default_rng(1).normal(size=(4, 1000)), jnp.float32)

    @jit
    def run(x, back):
        layers = network.init(jax.random.key(0)).layers
        scale = jnp.float32(network.scale)
        last, pull = jax.vjp(lambda x: network.architecture.activations(layers, x, scale)[-1], x)
        return last, pull(back)[0]

    last, gradient = run(x, back)
    state = moments(x)
    for _ in range(5):
        state, _ = network.layer_map()(state)
    found = moments(last)
    assert found.square == pytest.approx(state.square, rel=error)
    assert found.mean == pytest.approx(state.mean, rel=error, abs=0.05 * math.sqrt(state.square))
    expected = math.exp(log_gradient_factors(network.layer_map(), moments(x), 5).sum())
    assert float((gradient**2).sum() / (back**2).sum()) == pytest.approx(expected, rel=error)
