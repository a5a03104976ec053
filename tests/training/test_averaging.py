"""Averages of parameters against their closed forms, and the trigger of NT-ASGD."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.training.averaging import arithmetic_average, exponential_average, non_monotonic, start_average

VALUES = np.random.default_rng(0).normal(size=(30, 4))


def test_the_arithmetic_average_is_the_mean():
    average = start_average({"w": jnp.zeros(4)})
    for value in VALUES:
        average = arithmetic_average(average, {"w": jnp.asarray(value)})
    np.testing.assert_allclose(average.params["w"], VALUES.mean(axis=0), rtol=1e-6)
    assert average.count == len(VALUES)


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_exponential_average_is_the_recurrence(decay):
    average, wanted = start_average({"w": jnp.zeros(4)}), np.zeros(4)
    for n, value in enumerate(VALUES):
        d = min(decay, (1 + n) / (10 + n))
        wanted = d * wanted + (1 - d) * value
        average = exponential_average(average, {"w": jnp.asarray(value)}, decay)
    np.testing.assert_allclose(average.params["w"], wanted, rtol=1e-5)


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
    assert non_monotonic(losses) == begins
