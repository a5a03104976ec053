"""Spectra along a text against exact products of autodiff Jacobians; exponents against Jacobians by hand."""

import sys

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rnnlm_jax import cells
from rnnlm_jax.errors import DataError, TrainingError
from rnnlm_jax.evaluation.horizons import text_exponents, text_spectra
from rnnlm_jax.language_model.model import language_model
from tests.evaluation.horizons.by_hand import ElmanByHand, read_before
from tests.jacobians import exact
from tests.training.tiny import random_params
from tests.unroll.programs import jit

#: The module; its name in the package is that of the function.
MODULE = sys.modules[text_spectra.__module__]

V, D, START, LAGS = 7, 3, 5, (2, 6)
TOKENS = np.random.default_rng(0).integers(0, V, 40).astype(np.int32)
INDICES = [11, 25, 39]  # twelve steps end at each, six of them to warm up
MODEL = language_model(cells.lstm(2, param_dtype="float64"), V, D)
PARAMS = random_params(MODEL, scale=1.0)


@jit
def autodiff_jacobians(inputs):
    """∂s_t/∂s_{t-1} of every step of sequences ``[Q, T]``, from the zero state."""
    cell, params = MODEL.cell, PARAMS.cell
    start, unravel = ravel_pytree(cell.initial_state(()))

    def step(s, x):
        def move(s):
            return ravel_pytree(cell.step(params, unravel(s), cell.input_projection(params, x)))[0]

        return move(s), jax.jacrev(move)(s)

    return jax.vmap(lambda inputs: jax.lax.scan(step, start, PARAMS.embedding[inputs])[1])(inputs)


@pytest.fixture(scope="module")
def jacobians():
    return np.asarray(autodiff_jacobians(np.stack([read_before(TOKENS, START, i, 12) for i in INDICES])))


def exact_spectra(jacobians):
    return np.array([[exact.log_singular_values(each[6 : 6 + lag], 60) for lag in LAGS] for each in jacobians])


def test_full_spectra_at_each_position(jacobians):
    reports = []
    found = text_spectra(MODEL, PARAMS, TOKENS, start_id=START, lags=LAGS, count=3, progress=reports.append)
    np.testing.assert_allclose(found.log_singular_values, exact_spectra(jacobians), rtol=0, atol=1e-10)
    assert (found.trusted == 4).all()
    assert found.lags.tolist() == list(LAGS)
    dets = np.linalg.slogdet(jacobians)[1]
    np.testing.assert_allclose(found.log_abs_det, [[d[6 : 6 + lag].sum() for lag in LAGS] for d in dets], rtol=1e-11)
    for values, jacobian in zip(found.step_eigenvalues, jacobians[:, 6], strict=True):
        np.testing.assert_allclose(np.poly(values), np.poly(jacobian), atol=1e-12)
    assert reports == [12, 12, 12]


def test_a_large_state_gives_the_largest_values_only(jacobians, monkeypatch):
    monkeypatch.setattr(MODULE, "FULL_SPECTRUM", 0)
    monkeypatch.setattr(MODULE, "TOP", 2)
    found = text_spectra(MODEL, PARAMS, TOKENS, start_id=START, lags=LAGS[1:], count=3)
    np.testing.assert_allclose(found.log_singular_values, exact_spectra(jacobians)[:, 1:, :2], rtol=0, atol=1e-9)
    assert (found.trusted == 2).all()
    assert found.log_abs_det is None
    assert found.step_eigenvalues is None


def test_exponents_sum_to_the_mean_log_determinant(monkeypatch):
    monkeypatch.setattr(MODULE, "EXPONENT_STEPS", 30)
    model = language_model(cells.elman(3, param_dtype="float64"), V, D)
    params = random_params(model, scale=0.7)
    found = text_exponents(model, params, TOKENS, start_id=START)
    by_hand = ElmanByHand(params)
    # The first tenth of the steps is left out of the means.
    matrices = [
        by_hand.jacobian(h) for h in by_hand.states(read_before(TOKENS, START, 29, 30))[3:]
    ]  # a tenth is left out
    assert found.exponents.shape == (3,)
    np.testing.assert_allclose(found.exponents.sum(), np.linalg.slogdet(matrices)[1].mean(), rtol=1e-12)
    largest = exact.log_singular_values(np.array(matrices), 60)[0] / len(matrices)
    assert abs(found.exponents[0] - largest) < 0.05
    assert (np.diff(found.exponents) < 0).all()
    assert text_exponents(model, params, TOKENS[:19], start_id=START) is None  # too few for a mean


def test_a_jacobian_that_is_not_finite_is_an_error(monkeypatch):
    broken = MODULE._Spectra(np.zeros((1, 2)), np.zeros(1, int), np.zeros(1), np.full((2, 2), np.nan))
    monkeypatch.setattr(MODULE, "_all_values", lambda *arguments: lambda *arguments: broken)
    with pytest.raises(TrainingError, match="a step Jacobian is not finite: the model's state overflows"):
        text_spectra(MODEL, PARAMS, TOKENS, start_id=START, lags=LAGS, count=1)


def test_a_lag_beyond_the_text_is_an_error():
    with pytest.raises(DataError, match="6 steps do not fit into a text of 5 tokens"):
        text_spectra(MODEL, PARAMS, TOKENS[:5], start_id=START, lags=LAGS, count=1)
