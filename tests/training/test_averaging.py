"""Averages of parameters against their closed forms, and the trigger of NT-ASGD."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.errors import ConfigError
from rnnlm_jax.training.averaging import ExponentialAverage, PlateauAverage, TriggeredAverage, activated, make_average

VALUES = np.random.default_rng(0).normal(size=(30, 4))


def averaged(average, state, values):
    for value in values:
        state = average.update(state, {"w": jnp.asarray(value)})
    return state


def test_the_triggered_average_is_the_mean_since_the_trigger():
    average = TriggeredAverage()
    state = averaged(average, average.start({"w": jnp.zeros(4)}), VALUES[:10])
    assert not state.is_active
    state = averaged(average, activated(state), VALUES[10:])
    np.testing.assert_allclose(state.params["w"], VALUES[10:].mean(axis=0), rtol=1e-6)
    assert state.num_updates == 20


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_exponential_average_is_the_recurrence(decay):
    average, wanted = ExponentialAverage(decay), np.zeros(4)
    state = averaged(average, average.start({"w": jnp.zeros(4)}), VALUES)
    for n, value in enumerate(VALUES):
        d = min(decay, (1 + n) / (10 + n))
        wanted = d * wanted + (1 - d) * value
    np.testing.assert_allclose(state.params["w"], wanted, rtol=1e-5)
    assert state.is_active


@pytest.mark.parametrize(
    ("losses", "begins"),
    [
        ([5, 4, 3], False),
        ([5, 4, 3, 2, 1, 0.9], False),
        ([5, 4, 3, 2, 1.5, 1.4, 6], True),  # above min([5])
        ([3, 4, 3, 2, 1.5, 1.4, 2.9], False),
        ([3, 2, 3, 2.5, 2.5, 2.4, 2.3, 2.2], True),  # above min([3, 2])
    ],
)
def test_averaging_begins_when_the_loss_is_above_the_best_of_long_ago(losses, begins):
    assert TriggeredAverage(interval=5).begins(losses) == begins


@pytest.mark.parametrize(
    ("losses", "begins"),
    [
        ([5], False),
        ([5, 4, 6, 7], False),
        ([5, 4, 6, 7, 4.5], True),  # the third in a row that is not below 4
        ([5, 4, 6, 7, 3.9], False),
        ([4, 4, 4, 4], True),  # a tie is not a new best
        ([4, np.nan, 3, np.inf, np.nan], False),
        ([5, 4.5, 4.4, 4.3, 4.2, 4.1], True),  # number 6
        ([5, 4.5, 4.4, 4.3, 4.2, 4.1, 4.0], True),
    ],
)
def test_averaging_begins_on_a_plateau_or_at_the_latest_validation(losses, begins):
    assert PlateauAverage(patience=3, latest=6).begins(losses) == begins
    if len(losses) >= 6:
        assert not PlateauAverage(patience=3).begins(losses)


def test_the_average_since_a_plateau_is_the_mean():
    average = PlateauAverage()
    state = averaged(average, average.start({"w": jnp.zeros(4)}), VALUES[:10])
    np.testing.assert_allclose(state.params["w"], VALUES[9], rtol=1e-6)
    assert not state.is_active
    state = averaged(average, activated(state), VALUES[10:])
    np.testing.assert_allclose(state.params["w"], VALUES[10:].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ema", {"decay": 1.0}, "at least 0 and below 1"),
        ("nt-asgd", {"interval": 0}, "number of validations"),
        ("plateau", {"patience": 0}, "`patience` of the average must be a number of validations"),
        ("plateau", {"latest": -1}, "`latest` of the average must be a number of validations"),
        ("ema", {"interval": 3}, "has no option 'interval': its options are decay"),
        ("none", {"decay": 0.5}, "`average_options` are of an average"),
    ],
)
def test_impossible_averages_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_average(name, **options)
