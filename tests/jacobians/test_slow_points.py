"""Slow points: networks whose fixed points are known, a ghost of a fixed point, and inputs that differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from rnnlm_jax.cells.elman import ElmanParams, ElmanState

CELL = cells.elman(2, param_dtype="float64")


def network(w, b=0.0):
    return ElmanParams(jnp.eye(2), jnp.asarray(w, jnp.float64), jnp.full(2, b))


def starts(count=100, seed=0, size=1.2):
    return ElmanState(jnp.asarray(np.random.default_rng(seed).uniform(-size, size, (count, 2))))


def test_the_nine_fixed_points_of_two_units_that_do_not_meet():
    """``h = tanh(2 h)`` has the solutions 0 and ±0.95750402: four stable points, four saddles and a source."""
    params = network(2 * np.eye(2))
    found = jacobians.slow_points(CELL, params, jnp.zeros(2), starts=starts())
    assert found.converged.all()
    assert not found.outlier.any()
    points = jacobians.distinct(found)
    assert len(points.q) == 9
    h = np.asarray(points.states.hidden)
    exact = np.array([0.0, 0.95750402])
    assert np.abs(np.abs(h)[..., None] - exact).min(axis=-1).max() < 1e-5
    np.testing.assert_allclose(points.q, 0.5 * np.square(np.tanh(2 * h) - h).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(points.speed, np.sqrt(2 * np.asarray(points.q)), rtol=1e-12)
    values = jacobians.fixed_point_eigenvalues(CELL, params, jnp.zeros(2), states=points.states)
    unstable = (np.abs(values) > 1).sum(axis=1)
    assert sorted(unstable.tolist()) == [0] * 4 + [1] * 4 + [2]
    refined = jacobians.fixed_points(CELL, params, jnp.zeros(2), starts=points.states)
    assert refined.converged.all()
    np.testing.assert_allclose(refined.states.hidden, h, rtol=0, atol=1e-5)
    assert np.abs(np.abs(np.asarray(refined.states.hidden))[..., None] - exact).min(axis=-1).max() < 1e-8


def test_the_ghost_of_a_fixed_point_is_slow_and_not_fixed():
    """One unit with ``h' = tanh(2 h + b)`` loses two of three fixed points at b = 0.5328; where they met it is slow."""
    params = network(2 * np.eye(2), b=0.54)
    found = jacobians.slow_points(CELL, params, jnp.zeros(2), starts=starts(), tolerance=1e-3)
    points = jacobians.distinct(found)
    fixed = np.asarray(points.q) < 1e-10
    assert fixed.sum() == 1  # of both units together
    grid = np.linspace(-0.9, -0.4, 200_001)
    speed = np.tanh(2 * grid + 0.54) - grid
    ghost = grid[speed.argmin()]
    slow = np.asarray(points.states.hidden)[~fixed]
    is_ghost = np.abs(slow - ghost) < 1e-4
    assert is_ghost.any(axis=1).all()
    both = is_ghost.all(axis=1)
    assert both.sum() == 1
    np.testing.assert_allclose(np.asarray(points.q)[~fixed][both], speed.min() ** 2, rtol=1e-4)
    strict = jacobians.slow_points(CELL, params, jnp.zeros(2), starts=starts())
    assert not strict.converged.all()
    assert np.isinf(strict.distance[~strict.converged]).all()
    assert len(jacobians.distinct(strict).q) == 1


def test_each_start_may_have_an_input_of_its_own():
    params = network(0.5 * np.eye(2))
    xs = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.3, -2.0]])
    found = jacobians.slow_points(CELL, params, xs, starts=starts(3))
    for k in range(3):
        one = jacobians.fixed_points(CELL, params, xs[k], starts=starts(1))
        np.testing.assert_allclose(found.states.hidden[k], one.states.hidden[0], rtol=0, atol=1e-5)
    values = jacobians.fixed_point_eigenvalues(CELL, params, xs, states=found.states)
    expected = 0.5 * (1 - np.square(np.asarray(found.states.hidden)))
    np.testing.assert_allclose(values, -np.sort(-expected, axis=1), rtol=1e-5)


def test_points_far_from_all_starts_are_outliers():
    """A linear network with one fixed point, at 1000, and starts near 0."""
    cell = cells.linear(2, param_dtype="float64")
    params = ElmanParams(jnp.eye(2), 0.5 * jnp.eye(2), jnp.full(2, 500.0))
    found = jacobians.slow_points(cell, params, jnp.zeros(2), starts=starts(8))
    np.testing.assert_allclose(found.states.hidden, np.full((8, 2), 1000.0), rtol=1e-6)
    assert found.converged.all()
    assert found.outlier.all()


def test_float32_and_a_gated_cell_and_starts_that_are_not_finite():
    cell = cells.lstm(4)
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), 3), cell.initial_state((12,))))
    params, begin = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype), shapes)
    begin = begin._replace(cell=begin.cell.at[0, 0].set(jnp.nan))
    x = jnp.asarray(rng.normal(size=3), jnp.float32)
    with jax.numpy_dtype_promotion("strict"):
        found = jax.jit(lambda s: jacobians.slow_points(cell, params, x, starts=s, max_steps=200))(begin)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"float32", "int32", "bool"}
    assert not found.converged[0]
    assert found.iterations[0] == 0
    assert found.converged[1:].sum() >= 6
    z = jnp.broadcast_to(cell.input_projection(params, x), (12, 16))
    after = cell.step(params, found.states, z)
    parts = [jnp.square(a - b).sum(axis=1) for a, b in zip(after, found.states, strict=True)]
    np.testing.assert_allclose(found.q[1:], 0.5 * sum(parts)[1:], rtol=1e-2, atol=1e-14)


def test_options_out_of_range_are_refused():
    params = network(np.eye(2))
    for options, message in (
        ({"max_steps": 0}, "`max_steps` must be at least 1"),
        ({"tolerance": 0.0}, "`tolerance` must be positive"),
        ({"unique": -1.0}, "`unique` must be positive"),
    ):
        with pytest.raises(UserError, match=message):
            jacobians.slow_points(CELL, params, jnp.zeros(2), starts=starts(3), **options)
    with pytest.raises(UserError, match=r"one for each of the 3 states, not \(2, 2\)"):
        jacobians.slow_points(CELL, params, jnp.zeros((2, 2)), starts=starts(3))
