"""The coupled oscillatory network: its energy, its frequency, initial values, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import ArgumentError
from tests.unroll.programs import jit, random_like

H, D, T = 6, 3, 400


def states_of(cell, params, xs):
    """The state after each step from zero."""
    zs = cell.input_projection(params, xs)

    def step(state, z):
        state = cell.step(params, state, z)
        return state, state

    return jit(lambda zs: jax.lax.scan(step, cell.initial_state(()), zs)[1])(zs)


#: Δt, γ, ε: the authors' code for IMDB, the adding problem, sequential MNIST.
CONSTANTS = [(0.054, 4.9, 4.8), (0.06, 66.0, 15.0), (0.042, 2.7, 4.7)]


@pytest.mark.parametrize(("dt", "gamma", "epsilon"), CONSTANTS)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_energy_is_bounded(dt, gamma, epsilon, scale):
    """``γ|h_t|² + |v_t|² ≤ t Δt H/(ε - γ Δt)``, whatever weights and inputs.

    With f the tanh, a step adds ``2Δt v_t·f - 2Δt ε v_t·v_{t-1} + γ Δt² |v_t|² - |v_t - v_{t-1}|²`` to the energy. By
    ``2 v_t·v_{t-1} = |v_t|² + |v_{t-1}|² - |v_t - v_{t-1}|²`` and ``Δt ε ≤ 1`` this is at most
    ``Δt (2 v_t·f - (ε - γ Δt) |v_t|²)``, and that at most ``Δt |f|²/(ε - γ Δt)``.
    """
    cell = cells.cornn(H, dt, gamma, epsilon, param_dtype="float64")
    rng = np.random.default_rng(0)
    params = random_like(jax.eval_shape(lambda: cell.init(jax.random.key(0), D)), rng, scale)
    states = states_of(cell, params, scale * rng.standard_normal((T, D)))
    energy = gamma * np.sum(np.square(states.hidden), -1) + np.sum(np.square(states.velocity), -1)
    bound = np.arange(1, T + 1) * dt * H / (epsilon - gamma * dt)
    assert np.all(energy <= bound)
    assert energy.max() > 0.01  # it moves


def test_alone_a_unit_is_a_damped_oscillator():
    """``h = e^{-εt/2} (cos ωt + ε/(2ω) sin ωt)`` with ``ω² = γ - ε²/4`` solves ``h'' = -γ h - ε h'`` from h = 1."""
    dt, gamma, epsilon = 1e-4, 9.0, 0.5
    cell = cells.cornn(1, dt, gamma, epsilon, param_dtype="float64")
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), 1))
    start = cell.initial_state(())._replace(hidden=jnp.ones(1))
    steps = 20_000

    def step(state, _):
        state = cell.step(params, state, jnp.zeros(1))
        return state, state.hidden[0]

    hs = jit(lambda state: jax.lax.scan(step, state, length=steps)[1])(start)
    time, omega = dt * np.arange(1, steps + 1), np.sqrt(gamma - epsilon**2 / 4)
    wanted = np.exp(-epsilon * time / 2) * (np.cos(omega * time) + epsilon / (2 * omega) * np.sin(omega * time))
    np.testing.assert_allclose(hs, wanted, atol=10 * dt)


def test_initial_values_are_uniform_with_the_authors_limit():
    size, inputs = 40, 30
    cell = cells.cornn(size, param_dtype="float64")
    params = cell.init(jax.random.key(0), inputs)
    limit = (inputs + 2 * size) ** -0.5
    assert params.w_h.shape == (2 * size, size)
    for draws in params:
        u = np.asarray(draws).ravel() / limit
        assert np.abs(u).max() < 1
        assert abs((u**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / u.size)
        assert abs(u.mean()) < 5 * np.sqrt(1 / 3 / u.size)


@pytest.mark.parametrize("name", ["dt", "gamma", "epsilon"])
def test_constants_that_are_not_positive_are_refused_in_one_line(name):
    for value, message in (
        (0.0, f"`{name}` must be above 0, not 0.0"),
        ("1", f"`{name}` must be a finite number, not '1'"),
    ):
        with pytest.raises(ArgumentError) as caught:
            cells.cornn(4, **{name: value})
        assert str(caught.value) == message
