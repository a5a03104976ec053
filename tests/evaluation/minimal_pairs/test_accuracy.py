"""Accuracies with ties, and their confidence intervals."""

import math

import pytest
from scipy.stats import binomtest

from rnnlm_jax.evaluation.minimal_pairs import Accuracy, accuracy_of, wilson_interval
from rnnlm_jax.evaluation.minimal_pairs.accuracy import distance_bins


@pytest.mark.parametrize(("right", "count"), [(0, 7), (3, 10), (500, 1000), (7, 7)])
def test_the_interval_is_wilsons(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_holds_the_probability_in_95_of_100_samples():
    """Exactly, by the binomial distribution; Wilson's interval is near its level also for few pairs."""
    for probability in (0.5, 0.7, 0.93):
        covered = sum(
            math.comb(50, right) * probability**right * (1 - probability) ** (50 - right)
            for right in range(51)
            if wilson_interval(right / 50, 50)[0] <= probability <= wilson_interval(right / 50, 50)[1]
        )
        assert 0.92 < covered < 0.98


def test_a_tie_is_half_right():
    found = accuracy_of([1.0, -1.0, 0.0, math.inf, math.nan])  # NaN: both have probability 0
    assert found == Accuracy(pairs=5, right=2, ties=2)
    assert found.value == 0.6
    assert found.interval == wilson_interval(0.6, 5)
    nothing = accuracy_of([])
    assert math.isnan(nothing.value)
    assert nothing.summary() == {"accuracy": None, "interval": None, "pairs": 0, "right": 0, "ties": 0}


def test_neighbouring_distances_share_a_bin():
    distances = {2: Accuracy(3, 2, 0), 3: Accuracy(1, 1, 0), 5: Accuracy(6, 1, 2), 9: Accuracy(2, 2, 0)}
    first, last = distance_bins(distances, 4)
    assert (first.first, first.last, first.mean, first.accuracy) == (2, 3, 2.25, Accuracy(4, 3, 0))
    assert (last.first, last.last, last.mean, last.accuracy) == (5, 9, 6.0, Accuracy(8, 3, 2))
    assert sum(part.accuracy.pairs for part in distance_bins(distances, 1)) == 12
    assert len(distance_bins(distances, 1)) == 4
    (one,) = distance_bins({2: Accuracy(1, 0, 0)}, 30)
    assert one.accuracy.pairs == 1
