"""Critical gains, and gradients of wide networks that start with them."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.initializers import ScaledGaussian, scaled_orthogonal
from rnnlm_jax.compilation import jit
from rnnlm_jax.jacobians.mean_field import critical_gain, critical_init, elman


@pytest.mark.parametrize(("activation", "variance"), [("tanh", 0.0), ("tanh", 0.3), ("sigmoid", 0.0), ("sigmoid", 2.0)])
def test_chi_is_one_at_the_critical_gain(activation, variance):
    gain = critical_gain(activation, bias_variance=0.4 * variance, input_variance=0.6 * variance)
    found = elman(gain, activation, input_variance=variance)
    assert found.chi == pytest.approx(1, rel=1e-7)
    assert (elman(1.1 * gain, activation, input_variance=variance)).chi > 1


def test_gains_that_are_known():
    assert critical_gain() == pytest.approx(1, rel=1e-12)
    assert critical_gain("identity", input_variance=2.0) == pytest.approx(1, rel=1e-12)
    assert critical_gain("relu") == pytest.approx(math.sqrt(2), rel=1e-12)


def test_equal_arguments_give_equal_initialisers():
    assert critical_init("tanh") == scaled_orthogonal(critical_gain("tanh"))
    assert isinstance(critical_init("tanh", "gaussian", input_variance=0.2), ScaledGaussian)
    first, second = (cells.elman(5, recurrent_init=critical_init(input_variance=0.2)) for _ in range(2))
    assert first is second


@pytest.mark.parametrize("matrix", ["orthogonal", "gaussian"])
def test_gradients_keep_their_mean_squared_norm_over_100_steps(matrix):
    """Of 1,000 units with input: 16 random gradients at the last step, at the critical gain, below and above it.

    The factor of one network of this size scatters about 1 by about e^±1 over 100 steps.
    """
    units, steps, variance = 1000, 100, 0.3
    factors = {}
    for scale in (0.7, 1.0, 1.3):
        init = critical_init("tanh", matrix, input_variance=variance)
        cell = cells.elman(units, recurrent_init=type(init)(scale * init.gain), bias=False)
        weights = cell.init(jax.random.key(1), 1).w_h
        factors[scale] = float(_squared_norm(weights, steps, variance))
    assert 0.3 < factors[1.0] < 3.5
    assert factors[0.7] < 1e-6
    assert factors[1.3] > 100


@functools.partial(jit, static_argnums=(1, 2))
def _squared_norm(weights, steps, variance):
    """Return the mean squared norm of unit gradients after ``steps`` steps back."""
    units = weights.shape[0]
    inputs = math.sqrt(variance) * jax.random.normal(jax.random.key(2), (steps + 20, units), jnp.float32)

    def forward(h, x):
        h = jnp.tanh(h @ weights + x)
        return h, jnp.float32(1) - h * h

    _, slopes = jax.lax.scan(forward, jnp.zeros(units, jnp.float32), inputs)
    back = jax.random.normal(jax.random.key(3), (16, units), jnp.float32) / jnp.float32(math.sqrt(units))
    back, _ = jax.lax.scan(lambda v, slope: ((v * slope[None]) @ weights.T, None), back, slopes[20:], reverse=True)
    return jnp.mean(jnp.sum(back**2, axis=1))


def test_wrong_arguments_raise_an_error():
    with pytest.raises(UserError, match="`matrix` must be one of gaussian, orthogonal"):
        critical_init("tanh", "sparse")
    with pytest.raises(UserError, match="`input_variance` must be at least 0"):
        critical_gain("tanh", input_variance=-1.0)
    with pytest.raises(UserError, match="`gain` of a matrix must be at least 0, not -1.0"):
        ScaledGaussian(-1.0)
