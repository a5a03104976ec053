"""Exponents of the Hénon map and the Lorenz system, by plain steps, beside published values and exact sums."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax import jacobians
from tests.jacobians.dynamical_systems import HENON, LORENZ, henon, lorenz_flow, lorenz_step
from tests.unroll.programs import jit

KEY = jax.random.key(5)


def exponents(step, params, starts, *, steps, burn_in, qr_interval):
    """Return the exponents of several trajectories side by side, nats a step."""
    cell, xs = jacobians.from_step(step, starts[0]), jnp.zeros((burn_in + steps, 0))
    of_one = functools.partial(jacobians.lyapunov_spectrum, key=KEY, burn_in=burn_in, qr_interval=qr_interval)
    return jit(jax.vmap(lambda start: of_one(cell, params, start, xs)))(starts)


def mean_and_error(found):
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))


def test_the_henon_map():
    starts = jax.random.uniform(KEY, (32, 2), minval=-0.1, maxval=0.1)
    found = exponents(henon, HENON, starts, steps=4000, burn_in=500, qr_interval=5)
    mean, error = mean_and_error(np.asarray(found.exponents))
    assert error[0] < 1.5e-3
    np.testing.assert_allclose(mean[0], 0.4192, rtol=0, atol=4 * error[0])
    np.testing.assert_allclose(found.exponents.sum(axis=1), np.log(0.3), rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.mean_log_abs_det, np.log(0.3), rtol=0, atol=1e-12)
    # the Kaplan-Yorke dimension follows, 1 + λ₁/|λ₂|
    np.testing.assert_allclose(found.kaplan_yorke_dimension, 1 - found.exponents[:, 0] / found.exponents[:, 1])


def test_the_lorenz_system_in_nats_a_unit_of_time():
    dt, starts = LORENZ[-1], 8 * jax.random.normal(KEY, (32, 3)) + jnp.asarray([[0.0, 0.0, 24.0]])
    found = exponents(lorenz_step, LORENZ, starts, steps=4000, burn_in=1000, qr_interval=10)
    mean, error = mean_and_error(np.asarray(found.exponents) / dt)
    assert error.max() < 0.015
    np.testing.assert_allclose(mean, [0.9056, 0, -14.572], rtol=0, atol=4 * error.max())
    # exactly -(σ + 1 + β) for the flow; the Runge-Kutta map at this step is off by one part in 10⁵
    np.testing.assert_allclose(found.exponents.sum(axis=1) / dt, -(10 + 1 + 8 / 3), rtol=2e-5)
    np.testing.assert_allclose(found.exponents.sum(axis=1), found.mean_log_abs_det, rtol=1e-10)


def test_the_divergence_is_approached_with_the_fourth_power_of_the_time_step():
    def error_of_sum(dt):
        steps = round(2 / dt)
        found = exponents(
            lorenz_step, (*LORENZ[:3], dt), jnp.asarray([[-5.0, -7.0, 20.0]]), steps=steps, burn_in=0, qr_interval=1
        )
        return float(found.mean_log_abs_det[0]) / dt + 10 + 1 + 8 / 3

    coarse, fine = error_of_sum(0.02), error_of_sum(0.01)
    assert 12 < coarse / fine < 20


def test_the_fixed_points_of_the_lorenz_system_and_their_eigenvalues():
    """At a fixed point the Runge-Kutta step multiplies by ``1 + z + z²/2 + z³/6 + z⁴/24`` with z an eigenvalue dt."""
    cell, dt = jacobians.from_step(lorenz_step, jnp.zeros(3)), LORENZ[-1]
    starts = jnp.asarray([[1.0, 1.0, 1.0], [7.0, 9.0, 25.0], [-7.0, -9.0, 25.0]]) * 1.1
    found = jacobians.fixed_points(cell, LORENZ, jnp.zeros(0), starts=starts)
    assert found.converged.all()
    c = np.sqrt(8 / 3 * 27)
    expected = np.asarray([[0, 0, 0], [c, c, 27], [-c, -c, 27]])
    np.testing.assert_allclose(found.states, expected, rtol=0, atol=1e-11)
    values = jacobians.fixed_point_eigenvalues(cell, LORENZ, jnp.zeros(0), states=found.states)
    for point, of_step in zip(expected, values, strict=True):
        z = dt * np.linalg.eigvals(jax.jacfwd(functools.partial(lorenz_flow, LORENZ))(jnp.asarray(point)))
        of_flow = 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24
        np.testing.assert_allclose(np.sort_complex(of_step), np.sort_complex(of_flow), rtol=0, atol=1e-12)


def test_the_spectrum_of_the_henon_map_has_its_determinant():
    steps = 50
    cell = jacobians.from_step(henon, jnp.zeros(2))
    found = jacobians.spectrum(cell, HENON, jnp.asarray([0.1, 0.1]), jnp.zeros((steps, 0)), lags=[steps])
    assert found.trusted.all()
    np.testing.assert_allclose(found.log_singular_values.sum(), steps * np.log(0.3), rtol=1e-12)
    np.testing.assert_allclose(found.log_abs_det, steps * np.log(0.3), rtol=1e-12)
