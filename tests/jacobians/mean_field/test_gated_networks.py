"""Fixed points of wide random GRUs and LSTMs, against the cells of this library."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians import step_jacobian
from rnnlm_jax.jacobians.mean_field import gru, lstm
from rnnlm_jax.jacobians.mean_field.gated_networks import normal_points
from tests.unroll.programs import run

UNITS, STEPS = 300, 400


def network(kind, gain, mean_biases, bias_variance):
    """The fixed point of a random network without input, and its step Jacobian there."""
    rng = np.random.default_rng(5)
    cell = cells.make(kind, UNITS, param_dtype="float64")
    params = cell.init(jax.random.key(0), 1)
    gates = len(mean_biases)
    w_h = gain * rng.normal(size=(UNITS, gates * UNITS)) / math.sqrt(UNITS)
    b = np.repeat(mean_biases, UNITS) + math.sqrt(bias_variance) * rng.normal(size=gates * UNITS)
    params = params._replace(w_x=jnp.zeros_like(params.w_x), w_h=jnp.asarray(w_h), b=jnp.asarray(b))
    state = cell.initial_state(())
    state = type(state)(*(jnp.asarray(rng.normal(size=UNITS)) for _ in state))
    final, outputs = run(cell, params, state, jnp.zeros((STEPS, 1)))
    assert np.abs(outputs[-1] - outputs[-2]).max() < 1e-6
    return np.asarray(final.hidden), np.asarray(step_jacobian(cell, params, final, jnp.zeros(1)))


CASES = {
    "gru": (gru(1.2, update_bias=1.0, bias_variance=0.3), (0.0, 1.0, 0.0)),
    "lstm": (lstm(0.8, forget_bias=2.0, bias_variance=0.5), (0.0, 2.0, 0.0, 0.0)),
    "lstm closed": (lstm(1.0, forget_bias=-2.0, bias_variance=0.3), (0.0, -2.0, 0.0, 0.0)),
}
VARIANCES = {"gru": 0.3, "lstm": 0.5, "lstm closed": 0.3}


@pytest.mark.parametrize("case", CASES)
def test_wide_networks_have_the_moments_of_the_fixed_point(case):
    """Of 300 units: E[h²] within 12 %, ⟨σ²⟩ within 8 %, ⟨σ⁴⟩ within 15 %."""
    theory, biases = CASES[case]
    hidden, jacobian = network(case.split()[0], theory.gain, biases, VARIANCES[case])
    squared = np.linalg.svd(jacobian, compute_uv=False) ** 2
    assert np.mean(hidden**2) == pytest.approx(theory.square, rel=0.12)
    moments = theory.law.singular_moments()
    assert np.mean(squared) == pytest.approx(moments.mean, rel=0.08)
    assert np.mean(squared**2) == pytest.approx(moments.mean_square, rel=0.15)
    assert theory.feedback < 1


def test_without_biases_the_state_dies_out_and_the_gates_are_those_of_their_means():
    """J is ``u I + (1 - u) r g G`` for a GRU; an LSTM's zero loses stability at ``g σ(b_i) σ(b_o) = 1 - σ(b_f)``."""
    u, r = 1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(0.5))
    found = gru(0.9, update_bias=1.0, reset_bias=-0.5)
    assert found.square == 0
    assert found.chi == pytest.approx(u**2 + (0.9 * (1 - u) * r) ** 2, rel=1e-9)
    assert found.law.spectral_radius() == pytest.approx(u + 0.9 * (1 - u) * r, rel=1e-6)
    assert found.feedback == pytest.approx((0.9 * r) ** 2, rel=1e-9)
    for forget_bias in (-2.0, 1.0):
        f = 1 / (1 + math.exp(-forget_bias))
        found = lstm(0.2, forget_bias=forget_bias)
        assert found.square == 0
        assert found.feedback == pytest.approx((0.2 * 0.25 / (1 - f)) ** 2, rel=1e-6)
        assert found.chi == pytest.approx((1.25 * f**2 + 1.25 * (0.2 * 0.5) ** 2) / 2, rel=1e-6)


def test_the_update_gate_does_not_move_the_edge_of_stability():
    found = [gru(1.5, update_bias=bias, bias_variance=0.4).feedback for bias in (-2.0, 0.0, 4.0)]
    np.testing.assert_allclose(found, found[0], rtol=1e-9)


def test_quasi_random_points_are_normal_and_uncorrelated():
    points = normal_points(4)
    np.testing.assert_allclose(points @ points.T / points.shape[1], np.eye(4), atol=1e-12)
    assert np.abs(points.mean(axis=1)).max() < 5e-3
    np.testing.assert_allclose(np.mean(np.tanh(points) ** 2, axis=1), 0.394294, rtol=3e-3)


def test_wrong_arguments_raise_an_error():
    with pytest.raises(UserError, match="`gain` must be at least 0"):
        gru(-1.0)
    with pytest.raises(UserError, match="`forget_bias` must be a finite number"):
        lstm(1.0, forget_bias=math.inf)
