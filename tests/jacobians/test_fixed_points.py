"""Fixed points: a scalar network in closed form, and the defining equations for gated cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.elman import ElmanParams, ElmanState
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.jacobians.fixed_points import distinct, fixed_point_eigenvalues, fixed_points
from tests.unroll.programs import jit

SOLVE = jit(fixed_points, static_argnums=0, static_argnames=("max_steps", "tolerance"))
JACOBIAN = jit(autodiff_jacobian, static_argnums=0)
SCALAR = cells.elman(1, param_dtype="float64")
TWO = ElmanParams(jnp.zeros((1, 1)), jnp.full((1, 1), 2.0), jnp.zeros(1))


def scalar(h):
    return ElmanState(jnp.asarray(h, jnp.float64)[:, None])


def test_the_fixed_points_of_a_scalar_tanh_network():
    starts = scalar([0.0, 1e-3, 0.5, 3.0, -0.1, -40.0, 0.9])
    result = SOLVE(SCALAR, TWO, jnp.zeros(1), starts=starts)
    assert result.converged.all()
    assert result.residual.max() < 1e-14
    assert result.iterations[0] == 0
    different = distinct(result)
    h = np.sort(np.asarray(different.states.hidden)[:, 0])
    np.testing.assert_allclose(h, [-0.95750402, 0, 0.95750402], rtol=0, atol=5e-9)
    np.testing.assert_allclose(np.tanh(2 * h), h, rtol=0, atol=1e-14)
    values = fixed_point_eigenvalues(SCALAR, TWO, jnp.zeros(1), states=scalar(h))
    np.testing.assert_allclose(values[:, 0], [0.16637209, 2.0, 0.16637209], rtol=0, atol=5e-9)
    assert values.dtype == np.complex128


def test_searches_that_do_not_converge_are_flagged_and_keep_their_last_state():
    starts = scalar([0.0, 0.3, np.nan])
    result = SOLVE(SCALAR, TWO, jnp.zeros(1), starts=starts, max_steps=1)
    assert result.converged.tolist() == [True, False, False]
    assert result.iterations.tolist() == [0, 1, 0]
    h = result.states.hidden[1, 0]
    np.testing.assert_allclose(result.residual[1], abs(np.tanh(2 * h) - h), rtol=1e-14)
    assert 1e-3 < result.residual[1] < abs(np.tanh(0.6) - 0.3)  # better than its start, but not a fixed point
    assert np.isnan(result.residual[2])
    assert distinct(result).states.hidden.tolist() == [[0.0]]
    # h' = h + 1 has no fixed point, and J - I is singular
    line = cells.linear(1, param_dtype="float64")
    result = SOLVE(line, TWO._replace(w_h=jnp.ones((1, 1)), b=jnp.ones(1)), jnp.zeros(1), starts=scalar([5.0, 7.0]))
    assert not result.converged.any()
    assert result.states.hidden.tolist() == [[5.0], [7.0]]
    assert result.residual.tolist() == [1.0, 1.0]
    assert distinct(result).states.hidden.shape == (0, 1)


MAKERS = {
    "lstm": lambda: cells.lstm(4, param_dtype="float64"),
    "gru-reset-before": lambda: cells.gru(4, reset="before", param_dtype="float64"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_fixed_points_of_gated_cells_and_their_eigenvalues(name):
    cell, rng = MAKERS[name](), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), 3), cell.initial_state((12,))))
    params, starts = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    x = jnp.asarray(rng.normal(size=3))
    result = SOLVE(cell, params, x, starts=starts)
    assert result.converged.sum() >= 3
    assert (result.residual[result.converged] < 1e-12).all()
    assert (result.residual[~result.converged] > 100 * np.finfo(float).eps).all()  # flagged, and kept
    points = distinct(result)
    n = len(points.converged)
    assert 1 <= n < result.converged.sum()
    z = jnp.broadcast_to(cell.input_projection(params, x), (n, params.w_h.shape[1]))
    after = jit(cell.step)(params, points.states, z)
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(points.states), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-12)
    values = fixed_point_eigenvalues(cell, params, x, states=points.states)
    assert (np.diff(np.abs(values), axis=1) <= 1e-15).all()
    for k in range(n):
        state = jax.tree.map(lambda a, k=k: a[k], points.states)
        expected = np.linalg.eigvals(np.asarray(JACOBIAN(cell, params, state, z[k])))
        np.testing.assert_allclose(np.sort_complex(values[k]), np.sort_complex(expected), rtol=0, atol=1e-9)


def test_float32_stays_float32():
    cell = cells.elman(1)
    params = jax.tree.map(lambda a: a.astype(jnp.float32), TWO)
    start = ElmanState(jnp.full((1, 1), 0.5, jnp.float32))
    result = SOLVE(cell, params, jnp.zeros(1, jnp.float32), starts=start)
    assert result.converged.all()
    assert result.residual.dtype == jnp.float32
    np.testing.assert_allclose(result.states.hidden, [[0.95750402]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_distinct_point_is_counted_once(dtype):
    """In float32 it once found 49 for the 9 of W = 2 I, and 305 at the triple root of W = I."""
    cell, rng = cells.elman(2, param_dtype=dtype), np.random.default_rng(0)
    starts = ElmanState(jnp.asarray(rng.uniform(-1.2, 1.2, (300, 2)), dtype))
    for diagonal, count in (([2.0, 2.0], 9), ([1.0, 1.0], 1), ([2.0, 1.0], 3), ([1.25, 2.0], 9)):
        params = ElmanParams(jnp.zeros((1, 2), dtype), jnp.diag(jnp.asarray(diagonal, dtype)), jnp.zeros(2, dtype))
        result = SOLVE(cell, params, jnp.zeros(1, dtype), starts=starts)
        points = distinct(result)
        assert len(points.converged) == count, diagonal
        if 1.0 in diagonal:
            continue
        h = np.asarray(points.states.hidden, np.float64)
        assert points.distance.max() < 1e-3 if dtype == "float32" else 1e-11
        for w, entries in zip(diagonal, h.T, strict=True):
            exact = np.array([0.0, 0.95750402 if w == 2 else 0.71041178])
            assert (np.abs(np.abs(entries)[:, None] - exact).min(axis=1) <= points.distance + 1e-8).all()


def test_the_distance_bounds_the_error_at_a_coarse_tolerance():
    result = SOLVE(SCALAR, TWO, jnp.zeros(1), starts=scalar(np.linspace(-1.5, 1.5, 60)), tolerance=1e-3)
    assert result.converged.all()
    exact = np.array([-0.9575040240, 0.0, 0.9575040240])
    error = np.abs(np.asarray(result.states.hidden) - exact).min(axis=1)
    assert (error <= result.distance).all()
    assert result.distance.max() < 1e-2
    assert len(distinct(result).converged) == 3


def test_options_out_of_range_are_refused():
    with pytest.raises(UserError, match="`max_steps` must be at least 1"):
        fixed_points(SCALAR, TWO, jnp.zeros(1), starts=scalar([0.0]), max_steps=0)
    with pytest.raises(UserError, match="`tolerance` must be positive"):
        fixed_points(SCALAR, TWO, jnp.zeros(1), starts=scalar([0.0]), tolerance=0.0)
