"""Line search against an evaluation of all lines one by one, and tuning against a grid."""

import numpy as np
import pytest

from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.rescoring import DevelopmentSet, best_hypotheses, ranked_hypotheses, total_scores, tune
from rnnlm_jax.evaluation.rescoring.line_search import ErrorProfile, error_profile, fewest_errors


def random_starts(rng, utterances, most):
    return np.concatenate([[0], np.cumsum(rng.integers(1, most + 1, utterances))])


def errors_at(intercepts, slopes, errors, starts, t):
    """Errors of the winners at t, utterance by utterance."""
    lines = intercepts + t * slopes
    return sum(int(errors[a + np.argmax(lines[a:b])]) for a, b in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("seed", range(4))
def test_the_profile_has_the_errors_of_the_winners_everywhere(seed):
    rng = np.random.default_rng(seed)
    starts = random_starts(rng, 15, 12)
    count = starts[-1]
    # With odd seeds whole numbers, so that lines meet in one point, are parallel, or coincide.
    draw = (lambda: rng.integers(-4, 5, count).astype(float)) if seed % 2 else (lambda: rng.normal(size=count))
    intercepts, slopes, errors = draw(), draw(), rng.integers(0, 6, count)
    profile = error_profile(intercepts, slopes, errors=errors, starts=starts)
    assert (np.diff(profile.breaks) > 0).all()
    edges = np.concatenate([[profile.breaks[0] - 1], profile.breaks, [profile.breaks[-1] + 1]])
    middles = 0.5 * (edges[1:] + edges[:-1])
    wide = np.diff(edges) > 1e-9
    naive = [errors_at(intercepts, slopes, errors, starts, t) for t in middles[wide]]
    assert profile.errors[wide].tolist() == naive
    grid = np.linspace(-10, 10, 401) + 1e-3
    found = fewest_errors(profile)
    assert found.errors <= min(errors_at(intercepts, slopes, errors, starts, t) for t in grid)
    assert found.errors == errors_at(intercepts, slopes, errors, starts, found.t)


def test_one_hypothesis_per_utterance_has_a_constant_profile():
    profile = error_profile(np.ones(3), np.arange(3.0), errors=np.array([1, 2, 3]), starts=np.arange(4))
    assert profile.breaks.size == 0
    assert profile.errors.tolist() == [6]
    assert fewest_errors(profile) == (0.0, 6)
    assert fewest_errors(profile, lowest=2.0) == (4.0, 6)


def test_fewest_errors_is_the_middle_of_the_widest_interval_within_bounds():
    profile = ErrorProfile(np.array([0.0, 1.0, 2.0, 6.0]), np.array([1, 3, 1, 1, 2]))
    assert fewest_errors(profile) == (3.5, 1)  # 1 to 6 is one interval; the one below 0 is unbounded
    assert fewest_errors(profile, lowest=5.0) == (5.5, 1)
    assert fewest_errors(profile, highest=1.2) == (1.1, 1)
    assert fewest_errors(profile, highest=-3.0) == (-6.0, 1)
    assert fewest_errors(profile, lowest=0.5, highest=0.5) == (0.5, 3)


def test_the_first_of_equal_totals_wins_and_features_of_weight_0_are_ignored():
    starts = np.array([0, 3, 5])
    assert best_hypotheses(np.array([1.0, 2, 2, -np.inf, -np.inf]), starts).tolist() == [1, 3]
    assert ranked_hypotheses(np.array([1.0, 2, 2, 0, 5]), starts).tolist() == [1, 2, 0, 4, 3]
    rows = np.array([[1.0, -np.inf, 2.0]])
    assert total_scores(rows, np.array([2.0, 0.0, 1.0])).tolist() == [4.0]
    with pytest.raises(DataError, match="is NaN"):
        best_hypotheses(np.array([0.0, np.nan]), np.array([0, 2]))


def synthetic(seed=0, utterances=60, size=10):
    """Features of which the weights (1, 2, 3) are good: errors are ranks by a noisy total with these weights."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(utterances * size, 3)) * [10.0, 4.0, 1.0]
    starts = np.arange(0, rows.shape[0] + 1, size)
    truth = rows @ [1.0, 2.0, 3.0] + rng.normal(scale=2.0, size=rows.shape[0])
    errors = np.concatenate([np.argsort(np.argsort(-part)) for part in np.split(truth, starts[1:-1])])
    return DevelopmentSet(rows, errors, starts)


def test_tuning_is_at_least_as_good_as_a_grid_and_keeps_fixed_weights():
    development = synthetic()
    start, free = np.array([1.0, 1.0, 0.0]), np.array([False, True, True])
    found = tune(development, start, free=free, positive=np.array([True, True, False]))
    grid = min(
        development.errors_at(np.array([1.0, lm, word]))
        for lm in np.linspace(0, 6, 31)
        for word in np.linspace(-9, 9, 37)
    )
    assert found.errors <= grid
    rows, errors, starts = development
    assert found.errors == int(errors[best_hypotheses(rows @ found.weights, starts)].sum())
    assert found.errors < development.errors_at(start)
    assert found.weights[0] == 1.0
    again = tune(development, start, free=free, positive=np.array([True, True, False]))
    np.testing.assert_array_equal(again.weights, found.weights)


def test_bounded_weights_stay_above_0():
    development = synthetic()
    development.rows[:, 1] *= -1  # the best weight would be negative
    positive = np.array([True, True, False])
    free = np.array([False, True, True])
    found = tune(development, np.array([1.0, 1.0, 0.0]), free=free, positive=positive)
    assert found.weights[1] >= 0


def test_tuning_needs_a_free_weight_and_finite_features():
    development = synthetic(utterances=3)
    flags = np.array([False, True, True])
    with pytest.raises(ArgumentError, match="no weight is left to tune"):
        tune(development, np.ones(3), free=np.zeros(3, bool), positive=flags)
    development.rows[4, 1] = -np.inf
    with pytest.raises(DataError, match="has probability 0 under the model"):
        tune(development, np.ones(3), free=flags, positive=flags)
