"""The envelope against all lines looked at one by one, and tuning against grids."""

import numpy as np
import pytest

from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring import best, ranked, totals, tune
from rnnlm_jax.evaluation.rescoring.line_search import Profile, error_profile, least


def starts_of(rng, utterances, most):
    return np.concatenate([[0], np.cumsum(rng.integers(1, most + 1, utterances))])


def errors_at(intercepts, slopes, errors, starts, t):
    """Utterance by utterance."""
    lines = intercepts + t * slopes
    return sum(int(errors[a + np.argmax(lines[a:b])]) for a, b in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("seed", range(4))
def test_the_profile_is_right_everywhere(seed):
    rng = np.random.default_rng(seed)
    starts = starts_of(rng, 15, 12)
    count = starts[-1]
    # Whole numbers, so that lines meet in one point, are parallel, and are the same.
    draw = (lambda: rng.integers(-4, 5, count).astype(float)) if seed % 2 else (lambda: rng.normal(size=count))
    intercepts, slopes, errors = draw(), draw(), rng.integers(0, 6, count)
    profile = error_profile(intercepts, slopes, errors, starts)
    assert (np.diff(profile.breaks) > 0).all()
    edges = np.concatenate([[profile.breaks[0] - 1], profile.breaks, [profile.breaks[-1] + 1]])
    middles = 0.5 * (edges[1:] + edges[:-1])
    wide = np.diff(edges) > 1e-9
    naive = [errors_at(intercepts, slopes, errors, starts, t) for t in middles[wide]]
    assert profile.errors[wide].tolist() == naive
    grid = np.linspace(-10, 10, 401) + 1e-3
    found = least(profile)
    assert found.errors <= min(errors_at(intercepts, slopes, errors, starts, t) for t in grid)
    assert found.errors == errors_at(intercepts, slopes, errors, starts, found.t)


def test_one_hypothesis_an_utterance_never_changes():
    profile = error_profile(np.ones(3), np.arange(3.0), np.array([1, 2, 3]), np.arange(4))
    assert profile.breaks.size == 0
    assert profile.errors.tolist() == [6]
    assert least(profile) == (0.0, 6)
    assert least(profile, lowest=2.0) == (4.0, 6)


def test_the_middle_of_the_widest_stretch_within_bounds():
    profile = Profile(np.array([0.0, 1.0, 2.0, 6.0]), np.array([1, 3, 1, 1, 2]))
    assert least(profile) == (3.5, 1)  # 1 to 6, which is one stretch; below 0 has no end
    assert least(profile, lowest=5.0) == (5.5, 1)
    assert least(profile, highest=1.2) == (1.1, 1)
    assert least(profile, highest=-3.0) == (-6.0, 1)
    assert least(profile, lowest=0.5, highest=0.5) == (0.5, 3)


def test_equal_totals_go_to_the_first_and_no_weight_means_no_count():
    starts = np.array([0, 3, 5])
    assert best(np.array([1.0, 2, 2, -np.inf, -np.inf]), starts).tolist() == [1, 3]
    assert ranked(np.array([1.0, 2, 2, 0, 5]), starts).tolist() == [1, 2, 0, 4, 3]
    rows = np.array([[1.0, -np.inf, 2.0]])
    assert totals(rows, np.array([2.0, 0.0, 1.0])).tolist() == [4.0]
    with pytest.raises(UserError, match="is no number"):
        best(np.array([0.0, np.nan]), np.array([0, 2]))


def synthetic(seed=0, utterances=60, size=10):
    """Rows whose best weights are known to be good: errors grow with distance from 1 · a + 2 · l + 3 · w."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(utterances * size, 3)) * [10.0, 4.0, 1.0]
    starts = np.arange(0, rows.shape[0] + 1, size)
    truth = rows @ [1.0, 2.0, 3.0] + rng.normal(scale=2.0, size=rows.shape[0])
    errors = np.concatenate([np.argsort(np.argsort(-part)) for part in np.split(truth, starts[1:-1])])
    return rows, errors, starts


def test_tuning_is_no_worse_than_a_grid_and_keeps_what_is_fixed():
    rows, errors, starts = synthetic()
    start, free = np.array([1.0, 1.0, 0.0]), np.array([False, True, True])
    found = tune(rows, errors, starts, start, free, np.array([True, True, False]))
    grid = min(
        int(errors[best(rows @ [1.0, lm, word], starts)].sum())
        for lm in np.linspace(0, 6, 31)
        for word in np.linspace(-9, 9, 37)
    )
    assert found.errors <= grid
    assert found.errors == int(errors[best(totals(rows, found.weights), starts)].sum())
    assert found.errors < int(errors[best(totals(rows, start), starts)].sum())
    assert found.weights[0] == 1.0
    again = tune(rows, errors, starts, start, free, np.array([True, True, False]))
    np.testing.assert_array_equal(again.weights, found.weights)


def test_bounded_weights_stay_above_0():
    rows, errors, starts = synthetic()
    rows[:, 1] *= -1  # the best weight would be negative
    positive = np.array([True, True, False])
    found = tune(rows, errors, starts, np.array([1.0, 1.0, 0.0]), np.array([False, True, True]), positive)
    assert found.weights[1] >= 0


def test_what_cannot_be_tuned():
    rows, errors, starts = synthetic(utterances=3)
    flags = np.array([False, True, True])
    with pytest.raises(UserError, match="no weight to tune"):
        tune(rows, errors, starts, np.ones(3), ~flags & False, flags)
    rows[4, 1] = -np.inf
    with pytest.raises(UserError, match="no probability at all"):
        tune(rows, errors, starts, np.ones(3), flags, flags)
