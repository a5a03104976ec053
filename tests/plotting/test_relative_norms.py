"""Means and quantiles over positions, against plain sums where these do not underflow."""

import numpy as np
import pytest

from rnnlm_jax.plotting.relative_norms import line, log_mean, magnitude, relative_norms

pytestmark = pytest.mark.filterwarnings("error")
INF = np.inf


def test_the_mean_is_arithmetic():
    logs = np.random.default_rng(0).normal(size=(50, 7))
    logs[3, 2:] = -INF
    expected = np.exp(logs).sum(axis=0) / np.exp(logs[:, 0]).sum()
    np.testing.assert_allclose(np.exp(relative_norms(logs).mean), expected, rtol=1e-14)


@pytest.mark.parametrize("far", [-5000.0, 5000.0])
def test_log_mean_neither_underflows_nor_overflows(far):
    np.testing.assert_allclose(log_mean(np.array([[far], [far + np.log(3)]])), far + np.log(2), rtol=1e-15)


def test_zeros_and_nan_are_kept():
    logs = np.array([[0.0, -INF, -INF, np.nan], [0.0, -INF, 0.0, 0.0]])
    norms = relative_norms(logs)
    np.testing.assert_array_equal(norms.mean, [0, -INF, -np.log(2), np.nan])
    np.testing.assert_array_equal(norms.low, [0, -INF, -INF, np.nan])
    np.testing.assert_array_equal(norms.high, [0, -INF, 0, np.nan])
    np.testing.assert_array_equal(line(norms.mean), [1, np.nan, 0.5, np.nan])


def test_norms_are_relative_to_the_first_lag_with_a_gradient():
    norms = relative_norms(np.array([[-INF, 1.0, 0.0], [-INF, 1.0, -INF]]))
    assert norms.first == 1
    np.testing.assert_allclose(norms.mean, [-INF, 0, -1 - np.log(2)], rtol=1e-15)
    np.testing.assert_array_equal(norms.high, [-INF, 0, -1])
    assert relative_norms(np.zeros((2, 3))).first == 0


def test_norms_that_are_all_zero_infinite_or_nan_are_kept():
    for value in (-INF, np.nan, INF):
        norms = relative_norms(np.full((3, 4), value))
        np.testing.assert_array_equal(norms.mean, np.full(4, value))
        assert norms.first == 0
    assert relative_norms(np.array([[0.0, INF], [0.0, 900.0]])).mean[1] == INF


def test_quantiles_are_of_single_positions():
    logs = np.concatenate([np.zeros((101, 1)), np.random.default_rng(1).permutation(101)[:, None]], axis=1)
    norms = relative_norms(logs)
    assert (norms.low[1], norms.high[1]) == (10, 90)


def test_magnitudes_are_finite_and_positive():
    values = magnitude(np.array([-INF, -1e4, 0.0, 1e4, INF]))
    assert (values > 0).all() and np.isfinite(values).all() and values[2] == 1
