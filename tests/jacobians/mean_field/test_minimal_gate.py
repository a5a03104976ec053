"""The minimalRNN's mean field: its fixed points and maps, its critical line, and weights drawn anew at every step."""

import math

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.cells.minimalrnn import critical_gain
from rnnlm_jax.jacobians.mean_field import minimal_correlation_map, minimalrnn


@pytest.mark.parametrize("gate_bias", [-2.0, 0.0, 2.0, 3.0])
def test_chi_is_one_at_the_critical_gain(gate_bias):
    gain = critical_gain(gate_bias, 0.4)
    assert minimalrnn(gain, gate_bias=gate_bias, input_variance=0.4).chi == pytest.approx(1, rel=1e-9)
    assert minimalrnn(0.8 * gain, gate_bias=gate_bias, input_variance=0.4).chi < 1
    assert minimalrnn(1.2 * gain, gate_bias=gate_bias, input_variance=0.4).chi > 1


def test_chi_is_the_slope_of_the_correlation_map_at_one():
    network = minimalrnn(3.0, gate_bias=1.0, input_variance=0.4)
    assert minimal_correlation_map(network, 1.0) == pytest.approx(1, rel=1e-10)
    slope = (1 - minimal_correlation_map(network, 1 - 1e-5)) / 1e-5
    assert slope == pytest.approx(network.chi, rel=1e-4)


def test_with_wide_open_gates_there_are_three_fixed_points():
    gain = critical_gain(6.0, 0.4)
    low = minimalrnn(gain, gate_bias=6.0, input_variance=0.4)
    high = minimalrnn(gain, gate_bias=6.0, input_variance=0.4, start=0.4)
    assert low.square < 0.1 * high.square
    assert low.chi < 1 < high.chi


def test_without_recurrent_weights_the_gate_is_that_of_the_code():
    network = minimalrnn(0.0, gate_bias=0.7, input_variance=0.5, code_gain=0.0)
    u = 1 / (1 + math.exp(-0.7))
    assert network.square == pytest.approx(0.5 * (1 - u) ** 2 / (1 - u**2), rel=1e-9)
    assert network.chi == pytest.approx(u**2, rel=1e-9)


def test_weights_drawn_anew_at_every_step_give_q_and_chi():
    """Of 200 units over 120 steps, of which 80 are averaged: within 4 %."""
    network, rng, units = minimalrnn(4.0, gate_bias=1.0, input_variance=0.4), np.random.default_rng(0), 200
    h, squares, gains = np.zeros(units), [], []
    for step in range(120):
        w_h = 4.0 * rng.normal(size=(units, units)) / math.sqrt(units)
        w_n = rng.normal(size=(units, units)) / math.sqrt(units)
        n = math.sqrt(0.4) * rng.normal(size=units)
        u = 1 / (1 + np.exp(-(1.0 + h @ w_h + n @ w_n)))
        if step >= 40:
            jacobian = np.diag(u) + ((h - n) * u * (1 - u))[:, None] * w_h.T
            squares.append(np.mean(h**2))
            gains.append(np.sum(jacobian**2) / units)
        h = u * h + (1 - u) * n
    assert np.mean(squares) == pytest.approx(network.square, rel=0.04)
    assert np.mean(gains) == pytest.approx(network.chi, rel=0.04)


def test_wrong_arguments_raise_an_error():
    with pytest.raises(UserError, match="`input_variance` must be at most 1"):
        minimalrnn(1.0, input_variance=1.5)
    with pytest.raises(UserError, match="`correlation` must be from 0 to 1"):
        minimal_correlation_map(minimalrnn(1.0, input_variance=0.4), 1.5)
