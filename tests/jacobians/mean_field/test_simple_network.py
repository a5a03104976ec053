"""Mean-field theory of Elman networks: recorded values, closed forms, identities, and wide networks."""

import math

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.jacobians import mean_field
from rnnlm_jax.jacobians.mean_field import correlation_map, elman, variance_map

#: g -> λ_1 of x ← J tanh x to five digits, as experiments/random_networks has it by another quadrature.
EXPONENTS = {1.2: 0.01648, 1.5: 0.06522, 2.0: 0.15472, 3.0: 0.31025, 5.0: 0.53243, 10.0: 0.85644}


@pytest.mark.parametrize("gain", EXPONENTS)
def test_exponents_of_the_autonomous_tanh_network(gain):
    found = elman(gain)
    assert found.largest_exponent == pytest.approx(EXPONENTS[gain], abs=6e-6)
    if gain == 3.0:
        assert found.mean_exponent == pytest.approx(-2.27281, abs=6e-6)
    assert found.correlation == found.autocorrelation == 0


@pytest.mark.parametrize("gain", [0.0, 0.5, 0.8, 1.0])
def test_a_tanh_network_without_input_dies_out_up_to_a_gain_of_one(gain):
    found = elman(gain)
    assert found.variance == 0
    assert found.chi == pytest.approx(gain**2, rel=1e-13)
    assert found.variance_slope == pytest.approx(gain**2, rel=1e-10)
    assert found.correlation == 1
    if gain == 1:
        assert found.correlation_length == found.variance_length == math.inf
    elif gain > 0:
        assert found.correlation_length == pytest.approx(-1 / math.log(gain**2), rel=1e-10)


@pytest.mark.parametrize("gain", [0.5, 1.2])
def test_relu_and_linear_networks_have_closed_forms(gain):
    relu = elman(gain, "relu", bias_variance=0.1, input_variance=0.2)
    assert relu.variance == pytest.approx(0.3 / (1 - gain**2 / 2), rel=1e-12)
    assert relu.chi == pytest.approx(gain**2 / 2, rel=1e-13)
    assert relu.variance_slope == pytest.approx(gain**2 / 2, rel=1e-9)
    assert relu.correlation == 1
    assert relu.mean_exponent == -math.inf
    linear = elman(0.5, "identity", bias_variance=0.1, input_variance=0.2)
    assert linear.variance == pytest.approx(0.3 / 0.75, rel=1e-12)
    assert linear.autocorrelation == pytest.approx(0.1 / 0.75 / linear.variance, rel=1e-9)
    assert linear.mean_exponent == pytest.approx(math.log(0.5) - 0.5, rel=1e-12)
    with pytest.raises(UserError, match="`gain` 1.5 the variance of relu units grows"):
        elman(1.5, "relu", bias_variance=0.1)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_maps_have_the_fixed_points_and_slopes(activation):
    gain = {"tanh": 1.6, "sigmoid": 9.0, "relu": 1.1}[activation]
    found = elman(gain, activation, bias_variance=0.02, input_variance=0.1)
    assert variance_map(found, found.variance) == pytest.approx(found.variance, rel=1e-12)
    step = 1e-4 * found.variance
    slope = (variance_map(found, found.variance + step) - variance_map(found, found.variance - step)) / (2 * step)
    assert found.variance_slope == pytest.approx(slope, rel=1e-6)
    c = found.correlation
    assert correlation_map(found, c) == pytest.approx(c, abs=1e-9)
    low, high = (c - 1e-4, c + 1e-4) if c < 1 else (c - 1e-7, c)
    slope = (correlation_map(found, high) - correlation_map(found, low)) / (high - low)
    assert found.correlation_slope == pytest.approx(slope, rel=1e-2)
    assert correlation_map(found, 1.0) == pytest.approx(1, rel=1e-10)
    if c == 1:
        assert found.correlation_slope == pytest.approx(found.chi, rel=1e-10)


def wide(gain, activation, bias_variance, input_variance, *, units=1000, steps=40, seed=0):
    """Simulate two trajectories with the same inputs; return pre-activations ``[2, steps, units]``."""
    rng = np.random.default_rng(seed)
    phi = mean_field.NONLINEARITIES[activation].value
    weights = gain * rng.normal(size=(units, units)) / math.sqrt(units)
    bias = math.sqrt(bias_variance) * rng.normal(size=units)
    h, kept = phi(rng.normal(size=(2, units))), []
    for _ in range(steps):
        a = h @ weights + bias + math.sqrt(input_variance) * rng.normal(size=units)
        kept.append(a)
        h = phi(a)
    return np.stack(kept, axis=1)


CASES = [
    ("tanh", 2.0, 0.1, 0.3),
    ("tanh", 3.0, 0.0, 0.5),
    ("tanh", 0.8, 0.2, 0.0),
    ("sigmoid", 12.0, 0.5, 1.0),
    ("relu", 1.2, 0.1, 0.2),
]


@pytest.mark.parametrize(("activation", "gain", "bias_variance", "input_variance"), CASES)
def test_wide_networks_have_the_variance_and_correlations(activation, gain, bias_variance, input_variance):
    """Of 1,000 units, means over 20 steps: within 5 % of q (10 % where units have a mean), and 0.06 of correlations."""
    theory = elman(gain, activation, bias_variance=bias_variance, input_variance=input_variance)
    found = wide(gain, activation, bias_variance, input_variance)[:, 20:]
    assert np.mean(found**2) == pytest.approx(theory.variance, rel=0.05 if activation == "tanh" else 0.1)
    correlation = np.sum(found[0] * found[1]) / np.sqrt(np.sum(found[0] ** 2) * np.sum(found[1] ** 2))
    assert correlation == pytest.approx(theory.correlation, abs=0.06)
    for lag in (1, 5):
        later = np.mean(found[:, lag:] * found[:, :-lag]) / np.mean(found**2)
        assert later == pytest.approx(theory.autocorrelation, abs=0.06)


ERRORS = {
    "gain": (lambda: elman(-1.0), "`gain` must be at least 0, not -1.0"),
    "not a number": (lambda: elman(float("nan")), "`gain` must be a finite number, not nan"),
    "activation": (lambda: elman(1.0, "gelu"), "`activation` must be one of identity, sigmoid, tanh, relu, not 'gelu'"),
    "input": (lambda: elman(1.0, input_variance=-0.1), "`input_variance` must be at least 0"),
    "start": (lambda: elman(1.0, start=0.0), "`start` must be above 0"),
    "correlation": (lambda: correlation_map(elman(1.5), 1.1), "`correlation` must be at most 1, not 1.1"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_raise_an_error_of_one_line(case):
    call, pattern = ERRORS[case]
    with pytest.raises(UserError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)
