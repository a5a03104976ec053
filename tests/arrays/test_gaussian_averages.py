"""Averages over normal variables, against closed forms and adaptive quadrature."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from rnnlm_jax.arrays.gaussian_averages import gaussian_mean, gaussian_product_mean, normal_rule
from rnnlm_jax.jacobians.mean_field.nonlinearities import NONLINEARITIES

VARIANCES = (1e-6, 0.3, 4.0, 2500.0, 1e30)


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("variance", VARIANCES)
def test_closed_forms_of_one_variable(variance):
    assert gaussian_mean(lambda x: x**4, variance) == pytest.approx(3 * variance**2, rel=1e-12)
    assert gaussian_mean(relu, variance) == pytest.approx(math.sqrt(variance / 2 / math.pi), rel=1e-12)
    expected = 2 / math.pi * math.asin(2 * variance / (1 + 2 * variance))
    assert gaussian_mean(lambda x: special.erf(x) ** 2, variance) == pytest.approx(expected, rel=1e-12)
    mean = 1.3  # of relu of a variable whose mean is not 0, where the kink is not in the middle
    deviation = math.sqrt(variance)
    z = mean / deviation
    expected = mean * stats.norm.cdf(z) + deviation * stats.norm.pdf(z)
    assert gaussian_mean(relu, variance, mean) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("mean", [0.0, -2.0, 6.0])
@pytest.mark.parametrize("variance", [0.3, 4.0, 60.0])
def test_adaptive_quadrature_gives_the_same(variance, mean):
    deviation = math.sqrt(variance)
    for name in ("tanh", "sigmoid"):
        for function in (NONLINEARITIES[name].value, NONLINEARITIES[name].slope, NONLINEARITIES[name].log_slope):
            exact, error = integrate.quad(
                lambda z, f=function: float(f(np.float64(mean + deviation * z))) * stats.norm.pdf(z),
                -10,
                10,
                points=[0.0, max(-10, min(10, -mean / deviation))],
                limit=500,
                epsabs=1e-13,
                epsrel=1e-13,
            )
            assert gaussian_mean(function, variance, mean) == pytest.approx(exact, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("variance", [1e-3, 1.0, 50.0])
def test_closed_forms_of_two_variables(variance, correlation):
    expected = 2 / math.pi * math.asin(2 * variance * correlation / (1 + 2 * variance))
    assert gaussian_product_mean(special.erf, variance, correlation) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    angle = math.acos(correlation)  # the arc-cosine kernels of Cho & Saul 2009
    expected = variance / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * correlation)
    assert gaussian_product_mean(relu, variance, correlation) == pytest.approx(expected, rel=1e-12)
    expected = 0.5 * (1 - angle / math.pi)
    assert gaussian_product_mean(NONLINEARITIES["relu"].slope, variance, correlation) == pytest.approx(
        expected, rel=1e-3
    )
    assert gaussian_product_mean(lambda x: x, variance, correlation, 2.0) == pytest.approx(
        4 + variance * correlation, rel=1e-12
    )


def test_a_kink_costs_digits_only_at_correlations_near_one():
    for correlation in (0.999, 1 - 1e-6):
        angle = math.acos(correlation)
        expected = (math.sin(angle) + (math.pi - angle) * correlation) / (2 * math.pi)
        assert gaussian_product_mean(relu, 1.0, correlation) == pytest.approx(expected, rel=1e-8)


def test_variance_zero_is_the_limit_from_above():
    assert gaussian_mean(NONLINEARITIES["relu"].slope, 0.0) == pytest.approx(0.5, rel=1e-14)
    assert gaussian_mean(np.tanh, 0.0, 0.7) == pytest.approx(math.tanh(0.7), rel=1e-14)
    x, weights = normal_rule(0.0)
    assert x.min() < 0 < x.max()
    assert weights.sum() == pytest.approx(1, rel=1e-14)


def test_slopes_are_derivatives():
    x = np.linspace(-30, 30, 601)
    x = x[x != 0]
    for name, phi in NONLINEARITIES.items():
        step = 1e-6
        difference = (phi.value(x + step) - phi.value(x - step)) / (2 * step)
        np.testing.assert_allclose(phi.slope(x), difference, rtol=0, atol=2e-9, err_msg=name)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(phi.log_slope(x), np.log(phi.slope(x)), rtol=1e-12, atol=1e-15)
    assert NONLINEARITIES["tanh"].log_slope(np.array([500.0]))[0] == pytest.approx(math.log(4) - 1000, rel=1e-15)
