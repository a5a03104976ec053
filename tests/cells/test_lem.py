"""Long expressive memory: bounds of its states, its steps of time, initial values, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import ArgumentError
from tests.unroll.programs import CELLS, assert_close, random_arrays, run


@pytest.mark.parametrize("name", ["lem", "lem-small-step"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_states_stay_within_one(name, scale):
    cell = CELLS[name]
    params, _, xs = random_arrays(cell, name, steps=100)
    params = jax.tree.map(lambda a: scale * a, params)
    final, hs = run(cell, params, cell.initial_state(xs.shape[1:2]), xs)
    assert np.abs(hs).max() <= 1
    assert np.abs(final.memory).max() <= 1
    assert np.abs(hs).max() > 0.5  # the bound is near


def test_closed_gates_keep_both_states():
    """Exactly, over many steps, while the candidates are far from both states."""
    cell = cells.lem(4)
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), 2))
    closed = params._replace(b=params.b.at[:8].set(-200.0).at[8:].set(3.0))
    state = cell.initial_state((2,))._replace(hidden=jnp.full((2, 4), 0.3, jnp.float32))
    final, _ = run(cell, closed, state, jnp.ones((50, 2, 2), jnp.float32))
    assert_close(final, state, 0.0)


def test_open_gates_pass_the_candidates_on():
    """With Δt = 1 and open gates ``m_t = tanh(m)`` and ``h_t = tanh(n + m_t W_m)``: nothing of the past remains."""
    cell = CELLS["lem"]
    params, state, xs = random_arrays(cell, "lem")
    opened = params._replace(
        w_x=params.w_x.at[:, :10].set(0.0), b=params.b.at[:10].set(400.0), w_h=jnp.zeros_like(params.w_h)
    )
    z = cell.input_projection(opened, xs[0])
    after = cell.step(opened, state, z)
    memory = np.tanh(z[:, 10:15])
    np.testing.assert_allclose(after.memory, memory, atol=1e-15)
    np.testing.assert_allclose(after.hidden, np.tanh(z[:, 15:] + memory @ np.asarray(params.w_m)), atol=1e-15)


def test_initial_values_are_uniform_with_the_authors_limit():
    size, inputs = 40, 30
    params = cells.lem(size, param_dtype="float64").init(jax.random.key(0), inputs)
    for draws in params:
        u = np.asarray(draws).ravel() * np.sqrt(size)
        assert np.abs(u).max() < 1
        assert abs((u**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / u.size)
        assert abs(u.mean()) < 5 * np.sqrt(1 / 3 / u.size)


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (0.0, "`dt` must be above 0, not 0.0"),
        (1.5, "`dt` must be at most 1, not 1.5: larger steps leave the states unbounded"),
        (True, "`dt` must be a finite number, not True"),
    ],
)
def test_steps_out_of_range_are_refused_in_one_line(dt, message):
    with pytest.raises(ArgumentError) as caught:
        cells.lem(4, dt)
    assert str(caught.value) == message
