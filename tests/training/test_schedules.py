"""Learning rates against closed forms and against optax's own schedules."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax.errors import ConfigError
from rnnlm_jax.training.learning_rates import KINDS, make_learning_rate
from rnnlm_jax.training.plateau import new_bob, on_plateau, plateau_states
from rnnlm_jax.training.schedules import Length

LENGTH = Length.of_equal_epochs(steps=100, steps_per_epoch=10)
PEAK = 0.7


def rates(name, steps=100, **options):
    schedule = make_learning_rate(name, PEAK, LENGTH, **options).schedule
    return np.asarray(jax.vmap(lambda n: jnp.asarray(schedule(n), jnp.float64))(jnp.arange(steps)))


@pytest.mark.parametrize("warmup_steps", [0, 10])
def test_constant(warmup_steps):
    n = np.arange(100)
    np.testing.assert_allclose(
        rates("constant", warmup_steps=warmup_steps),
        PEAK * np.minimum(1, n / warmup_steps if warmup_steps else 1),
        rtol=1e-6,
    )


@pytest.mark.parametrize("warmup_steps", [0, 10])
def test_cosine(warmup_steps):
    n = np.arange(100)
    share = np.clip((n - warmup_steps) / (100 - warmup_steps), 0, 1)
    wanted = PEAK * (0.1 + 0.9 * (1 + np.cos(np.pi * share)) / 2)
    wanted = np.where(n < warmup_steps, PEAK * n / max(warmup_steps, 1), wanted)
    np.testing.assert_allclose(rates("cosine", warmup_steps=warmup_steps, end=0.1), wanted, rtol=1e-6)


def test_linear_ends_at_its_end():
    found = rates("linear", 101, warmup_steps=20, end=0.5)[[0, 10, 20, 60, 100]]
    np.testing.assert_allclose(found, PEAK * np.array([0, 0.5, 1, 0.75, 0.5]), rtol=1e-6)


def test_inverse_square_root():
    n = np.arange(1, 100)
    np.testing.assert_allclose(
        rates("inverse-sqrt", warmup_steps=16)[1:], PEAK * np.minimum(n / 16, np.sqrt(16 / n)), rtol=1e-6
    )


def test_one_cycle_is_optax_s():
    wanted = optax.cosine_onecycle_schedule(100, PEAK, 0.25, 10.0, 100.0)
    found = rates("one-cycle", pct_start=0.25, div_factor=10.0, final_div_factor=100.0)
    np.testing.assert_allclose(found, [wanted(n) for n in range(100)], rtol=1e-6)


def test_piecewise():
    found = rates("piecewise", factors="10:0.5/30:0.1")[[0, 9, 11, 29, 31]]
    np.testing.assert_allclose(found, PEAK * np.array([1, 1, 0.5, 0.5, 0.05]), rtol=1e-6)


def test_exponential():
    wanted = PEAK * 0.5 ** (np.arange(100) / 20)
    np.testing.assert_allclose(rates("exponential", factor=0.5, every=20), wanted, rtol=1e-6)


@pytest.mark.parametrize(("divisor", "after"), [(2.0, 4), (1.15, 0), (1.2, 100)])
def test_decay_by_epochs_is_zaremba_s(divisor, after):
    wanted = [PEAK / divisor ** max(n // 10 + 1 - after, 0) for n in range(100)]
    np.testing.assert_allclose(rates("epochs", divisor=divisor, after=after), wanted, rtol=1e-6)


def test_epochs_of_unequal_length():
    length = Length(30, (5, 12, 15))
    schedule = make_learning_rate("epochs", 1.0, length, divisor=2.0, after=1).schedule
    epochs = [0] * 5 + [1] * 7 + [2] * 3 + [3] * 3 + [4] * 3
    np.testing.assert_allclose([schedule(n) for n in range(21)], [0.5**epoch for epoch in epochs], rtol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_every_schedule_starts_finite_and_not_negative(name):
    options = {"piecewise": {"factors": "5:0.5"}, "exponential": {"factor": 0.9}, "inverse-sqrt": {"warmup_steps": 8}}
    found = rates(name, **options.get(name, {}))
    assert np.isfinite(found).all()
    assert (found >= 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosin", {}, "unknown `schedule` 'cosin': choose one of constant"),
        ("cosine", {"warmup": 3}, "has no option 'warmup': its options are warmup_steps, end"),
        ("cosine", {"warmup_steps": 101}, "longer than the job, which has 100"),
        ("cosine", {"warmup_steps": -1}, "0 or more"),
        ("exponential", {}, "needs its option 'factor'"),
        ("piecewise", {"factors": "ten"}, "1000:0.5"),
        ("piecewise", {"factors": "50:0.5/100:0.1"}, "changes at step 100: the job has only 100"),
        ("plateau", {"factor": 1.5}, "`factor` of the plateau schedule must be between 0 and 1"),
        ("plateau", {"patience": 0}, "number of validations"),
        ("plateau", {"latest": -1}, "`latest` of the plateau schedule must be a number of validations, or 0"),
        ("new-bob", {"threshold": -1}, "must be 0 or more"),
        ("one-cycle", {"pct_start": 1.5}, "between 0 and 1"),
        ("inverse-sqrt", {"warmup_steps": 0}, "1 or more"),
        ("cosine", {"end": "abc"}, "`end` of the schedule 'cosine' must be a number, not 'abc'"),
        ("cosine", {"end": float("nan")}, "must be a number, not nan"),
        ("linear", {"end": -1}, "`end` of a schedule must be 0 or more"),
        ("one-cycle", {"final_div_factor": 0}, "`final_div_factor` of a schedule must be positive"),
        ("exponential", {"factor": -1}, "`factor` of a schedule must be positive"),
        ("exponential", {"factor": 0.5, "every": 0}, "`every` of a schedule must be 1 or more"),
        ("piecewise", {"factors": "1:0.5/1:0.2"}, "has a step twice"),
        ("piecewise", {"factors": "-3:0.5"}, "of steps from 1 on"),
        ("epochs", {"after": 1.5}, "`after` of the schedule 'epochs' must be a whole number"),
        ("plateau", {"cooldown": "x"}, "`cooldown` of the schedule 'plateau' must be a whole number"),
        ("plateau", {"min_scale": 2}, "`min_scale` of the plateau schedule must be between 0 and 1"),
        ("new-bob", {"threshold": float("nan")}, "must be a number, not nan"),
    ],
)
def test_impossible_schedules_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_learning_rate(name, PEAK, LENGTH, **options)


def scales(plateau, losses):
    state = plateau.transform.init(None)
    found = []
    for loss in losses:
        state = plateau.after_validation(state, loss)
        found.append(float(state.scale))
    return found


def test_the_rate_falls_after_patience_validations_without_improvement():
    losses = [5.0, 4.0, 4.0, 4.0, 3.0, 3.1, 3.2, 2.0]
    assert scales(on_plateau(factor=0.5, patience=2), losses) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_the_rate_falls_at_the_latest_validation_if_it_never_fell():
    falling = [9.0 - k for k in range(8)]
    assert scales(on_plateau(factor=0.5, patience=2, latest=5), falling) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    # It fell before, so that the latest validation changes nothing.
    early = [5.0, 5.0, 5.0, 4.0, 3.0, 2.0]
    assert scales(on_plateau(factor=0.5, patience=2, latest=5), early) == [1, 1, 0.5, 0.5, 0.5, 0.5]
    # Validations without improvement are counted from there.
    losses = [5.0, 4.0, 4.0, 4.0, 4.0]
    assert scales(on_plateau(factor=0.5, patience=2, latest=3), losses) == [1, 1, 0.5, 0.5, 0.25]
    assert scales(on_plateau(factor=0.5, patience=2), losses) == [1, 1, 1, 0.5, 0.5]


def test_new_bob_halves_at_every_validation_once_the_gain_is_small():
    losses = [5.0, 4.0, 3.999, 3.5, 3.4999]
    plateau = new_bob(0.5, 0.003)
    assert scales(plateau, losses) == [1, 1, 0.5, 0.25, 0.125]
    state = plateau.transform.init(None)
    ended = []
    for loss in losses:
        state = plateau.after_validation(state, loss)
        ended.append(bool(state.has_ended))
    assert ended == [False, False, False, False, True]


def test_the_plateau_scales_updates_inside_a_chain():
    plateau = on_plateau(factor=0.1, patience=1)
    rule = optax.chain(optax.sgd(1.0), plateau.transform)
    params = {"w": jnp.ones(3)}
    state = rule.init(params)
    for loss in (2.0, 2.0):
        (found,) = plateau_states(state)
        state = (state[0], plateau.after_validation(found, loss))
    updates, _ = rule.update(params, state, params)
    np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-6)
    assert math.isclose(float(state[1].scale), 0.1, rel_tol=1e-6)
