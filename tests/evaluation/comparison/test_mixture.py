"""Mixtures: fitted weights against a grid, stationarity and exact cases; nats against the sum of probabilities."""

import numpy as np
import pytest

from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.comparison import ModelInfo, fit_weights, mixture, mixture_nll
from tests.evaluation.comparison.given_scores import WORDS, GivenScores, text_of
from tests.training.tiny import vocabulary


def random_nll(models, tokens, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 2.0, (models, tokens))


def likelihood(nats, weights):
    return np.mean(np.log(np.asarray(weights) @ np.exp(-nats)))


def test_weights_of_two_models_equal_the_best_of_a_grid():
    nats = random_nll(2, 300)
    grid = np.linspace(0, 1, 100_001)
    best = grid[np.argmax([likelihood(nats, (w, 1 - w)) for w in grid[::1000]]) * 1000]
    near = np.linspace(max(best - 0.01, 0), min(best + 0.01, 1), 2001)
    finest = near[np.argmax([likelihood(nats, (w, 1 - w)) for w in near])]
    found = fit_weights(nats, tolerance=1e-12)
    np.testing.assert_allclose(found.weights, [finest, 1 - finest], atol=2e-5)
    assert found.converged


@pytest.mark.parametrize("models", [3, 7])
def test_the_weights_are_stationary_and_no_others_are_better(models):
    """∂L/∂λ_k is 1 where λ_k is positive, and at most 1 where it is 0 (Karush, Kuhn & Tucker)."""
    nats = random_nll(models, 500, models)
    nats[-1] = nats[0] + 0.5  # worse than the first everywhere
    found = fit_weights(nats, tolerance=1e-11)
    slopes = np.mean(np.exp(-nats) / (found.weights @ np.exp(-nats)), axis=1)
    assert found.converged
    assert slopes.max() <= 1 + 2e-11
    inside = found.weights > 1e-6
    np.testing.assert_allclose(slopes[inside], 1.0, rtol=0, atol=1e-8)
    assert not inside[-1]
    np.testing.assert_allclose(found.nll_per_token, -likelihood(nats, found.weights), rtol=1e-13)
    others = np.random.default_rng(1).dirichlet(np.ones(models), 2000)
    assert max(likelihood(nats, w) for w in others) <= -found.nll_per_token + found.gap


def test_the_likelihood_never_falls_and_the_gap_bounds_what_is_left():
    nats = random_nll(4, 200, 5)
    best = fit_weights(nats, tolerance=1e-13, max_steps=100_000)
    before = np.inf
    for steps in range(25):
        found = fit_weights(nats, tolerance=0.0, max_steps=steps)
        assert found.steps == steps
        assert not found.converged
        assert found.nll_per_token <= before + 1e-15
        assert found.nll_per_token - best.nll_per_token <= found.gap + 1e-14
        before = found.nll_per_token
    assert before < fit_weights(nats, max_steps=0).nll_per_token - 1e-4


def test_the_first_step_is_a_step_of_em():
    nats = random_nll(3, 50)
    weighted = np.exp(-nats) / 3
    np.testing.assert_allclose(
        fit_weights(nats, 0.0, 1).weights, np.mean(weighted / weighted.sum(axis=0), axis=1), rtol=1e-13
    )


def test_probabilities_that_underflow_do_not_matter():
    near = random_nll(2, 100)
    far = near + np.linspace(800, 3000, 100)  # exp(-800) is 0
    np.testing.assert_allclose(fit_weights(far).weights, fit_weights(near).weights, rtol=1e-6)
    weights = np.array([0.3, 0.7])
    np.testing.assert_allclose(mixture_nll(far, weights) - (far - near)[0], mixture_nll(near, weights), rtol=1e-10)


def test_weights_of_equal_models_and_of_a_useless_one():
    nats = random_nll(1, 40)
    equal = fit_weights(np.repeat(nats, 3, axis=0))
    np.testing.assert_allclose(equal.weights, 1 / 3)
    assert equal.converged
    assert equal.steps == 0
    useless = fit_weights(np.stack([nats[0], np.full(40, np.inf)]))
    np.testing.assert_allclose(useless.weights, [1, 0], atol=1e-8)
    np.testing.assert_allclose(useless.nll_per_token, nats.mean(), rtol=1e-8)
    assert fit_weights(nats).weights.tolist() == [1.0]


def test_mixture_nll_is_that_of_the_mixed_probabilities():
    nats, weights = random_nll(5, 60), np.array([0.1, 0.2, 0.3, 0.25, 0.15])
    np.testing.assert_allclose(mixture_nll(nats, weights), -np.log(weights @ np.exp(-nats)), rtol=1e-13)
    assert mixture_nll(nats, np.array([0, 0, 1.0, 0, 0])).tolist() == nats[2].tolist()  # to the bit
    nats[:, 7] = np.inf
    assert np.isposinf(mixture_nll(nats, weights)[7])
    nats[:3, 8] = np.inf
    np.testing.assert_allclose(mixture_nll(nats, weights)[8], -np.log(weights @ np.exp(-nats[:, 8])), rtol=1e-13)


def test_a_mixture_is_a_scorer():
    nats = random_nll(2, 9)
    models = [GivenScores("a", nats[0], info=ModelInfo("x", 10.0)), GivenScores("b", nats[1], info=ModelInfo("y", 5.0))]
    text = text_of(np.arange(9) % WORDS.size)
    mixed = mixture(models, (0.25, 0.75))
    assert mixed.token_nll(text).tolist() == mixture_nll(nats, np.array([0.25, 0.75])).tolist()
    assert (mixed.parameter_count, mixed.info.training_seconds) == (6, 15.0)
    assert mixed.vocabulary is WORDS
    alone = mixture(models[:1], (1.0,))
    assert alone.token_nll(text).tolist() == nats[0].tolist()
    nested = mixture([mixed, models[0]], (0.5, 0.5))
    flat = mixture_nll(nats, np.array([0.625, 0.375]))
    np.testing.assert_allclose(nested.token_nll(text), flat, rtol=1e-14)
    assert mixture([*models, GivenScores("c", nats[0])], (0.2, 0.3, 0.5)).info.training_seconds is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [((), "as many"), ((0.5, 0.6), "sum to 1"), ((-0.5, 1.5), "0 or more"), ((np.nan, 1.0), "0 or more")],
)
def test_errors_of_weights(weights, message):
    nats = random_nll(2, 3)
    with pytest.raises(ArgumentError, match=message):
        mixture([GivenScores("a", nats[0]), GivenScores("b", nats[1])], weights)


@pytest.mark.parametrize(
    ("nll", "message"),
    [
        (np.zeros((2, 0)), "nothing to fit"),
        (np.zeros((0, 2)), "nothing to fit"),
        (np.array([[1.0, np.nan], [1.0, 2.0]]), "not finite"),
        (np.array([[1.0, -np.inf], [1.0, 2.0]]), "not finite"),
        (np.array([[1.0, np.inf], [1.0, np.inf]]), "token 2 .* probability 0 in every model"),
    ],
)
def test_errors_of_fitted_nats(nll, message):
    with pytest.raises(DataError, match=message):
        fit_weights(nll)


def test_models_of_different_vocabularies_cannot_be_mixed():
    nats = random_nll(2, 3)
    with pytest.raises(DataError, match="a and b cannot be compared"):
        mixture([GivenScores("a", nats[0]), GivenScores("b", nats[1], vocabulary(["another text"]))], (0.5, 0.5))
