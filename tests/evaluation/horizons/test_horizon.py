"""Horizons of curves made by hand: with bumps, gaps, and values beyond the range of float64."""

import warnings

import numpy as np
import pytest

from rnnlm_jax.evaluation.horizons import context_horizon, first_lag, horizon, mean_log_norms
from rnnlm_jax.evaluation.horizons.horizon import FRACTIONS

INF = np.inf


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("curve", "e_fold", "one_percent"),
    [
        ([0, -0.5, -0.9, -1.1, -2, -4.7, -5], 3, 5),  # falls
        ([0, -2, -5, -0.5, -3, -6, -7], 4, 5),  # rises again: the lag from which on it stays below counts
        ([0, -1.5, -1, -1, -1, -1, -1], 1, None),  # reaches 1/e exactly, and no further
        ([0, 0.1, 2, 5, 9, 3, 1], None, None),  # grows
        ([0, -5, -5, -5, -5, -5, -0.9], None, None),  # is above at the end
        ([0, -INF, -INF, -INF], 1, 1),  # a cell without memory
        ([-INF, 0, -0.5, -2, -5], 3, 4),  # an LSTM's cell state, which the output does not read
        ([-INF] * 4, 0, 0),  # no gradient at any lag
        ([0, -2, -5, np.nan, -5], 4, 4),  # NaN counts as above
        ([0, -2, -5, -5, np.nan], None, None),
        ([0], None, None),
    ],
)
def test_the_horizon_is_the_lag_from_which_on_the_curve_stays_below(curve, e_fold, one_percent):
    curve = np.array(curve, float)
    assert [horizon(curve, fraction) for fraction in FRACTIONS.values()] == [e_fold, one_percent]


def test_fractions_have_the_values_of_their_names():
    assert {"1/e": pytest.approx(np.exp(-1)), "1%": 0.01} == FRACTIONS


def test_norms_are_averaged_not_their_logarithms():
    norms = np.array([[2.0, 1.0, 0.5], [6.0, 1.0, 0.0], [1.0, 4.0, 1.0]])
    with np.errstate(divide="ignore"):
        logs = np.log(norms)
    np.testing.assert_allclose(mean_log_norms(logs), np.log([1, 6 / 9, 1.5 / 9]), rtol=1e-14)


@pytest.mark.parametrize("shift", [-5000.0, 0.0, 5000.0])
def test_norms_beyond_the_range_of_float64(shift):
    """Norms near e^±5000 and zeros: the curve is relative to the first lag."""
    logs = np.array([[0.0, -1.0, -2000.0, -INF], [1.0, 0.0, -INF, -INF]]) + shift
    first = np.log((1 + np.e) / 2)
    wanted = [0, -1, -2000 - np.log(2) - first, -INF]
    np.testing.assert_allclose(mean_log_norms(logs), wanted, rtol=1e-14)
    np.testing.assert_allclose(mean_log_norms(logs[:, ::-1]), [-INF, *np.array(wanted)[2::-1] - wanted[2]], rtol=1e-14)


def test_float32_is_averaged_in_float64():
    logs = np.full((3, 2), [0, -110], np.float32)  # e^-110 underflows in float32
    found = mean_log_norms(logs)
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.exp(found), [1, np.exp(-110.0)], rtol=1e-12)


def test_zero_norms_and_nan_are_kept():
    assert mean_log_norms(np.full((2, 3), -INF)).tolist() == [-INF] * 3
    np.testing.assert_array_equal(mean_log_norms(np.array([[0.0, np.nan], [0.0, 1.0]])), [0, np.nan])


def test_first_lag_is_the_first_finite_value():
    assert [first_lag(np.array(curve)) for curve in ([0.0, -1], [-INF, 0.0], [-INF, -INF])] == [0, 1, 0]


CONTEXTS = np.array([1, 2, 5, 10])


@pytest.mark.parametrize(
    ("excess", "expected"),
    [
        ([0.5, 0.02, 0.005, 0.0], 5),
        ([0.5, 0.005, 0.02, 0.001], 10),  # above the tolerance again with five
        ([0.5, 0.4, 0.3, 0.2], None),
        ([0.005, 0.004, 0.0, 0.0], 1),
        ([0.3, 0.2, -0.5, -0.5], 5),  # better than with the full context
        ([0.5, np.log(1.01) + 1e-9, np.log(1.01) - 1e-9, 0.0], 5),
        ([900.0, 0.0, 0.0, 0.0], 2),
        ([0.0, 0.0, 0.0, np.nan], None),
    ],
)
def test_the_context_horizon_is_within_the_tolerance_from_there_on(excess, expected):
    found = context_horizon(CONTEXTS, 3 + np.array(excess), full_nll=3.0, tolerance=0.01)
    assert found == expected
    assert found is None or type(found) is int  # serialisable as JSON
