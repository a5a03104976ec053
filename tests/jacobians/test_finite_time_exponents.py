"""Finite-time exponents: their means are the long-run exponents, and a window is a sum over its steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from rnnlm_jax.cells.elman import ElmanParams
from tests.unroll.programs import jit

KEY, D, T = jax.random.key(3), 2, 60
STATIC = ("window", "count", "stride", "burn_in", "qr_interval")
OF_CELL = jit(jacobians.finite_time_exponents, static_argnums=0, static_argnames=STATIC)

MAKERS = {
    "elman": lambda: cells.elman(4, param_dtype="float64"),
    "lstm": lambda: cells.lstm(3, param_dtype="float64"),
    "gru-reset-before": lambda: cells.gru(3, reset="before", param_dtype="float64"),
    "mingru": lambda: cells.mingru(5, param_dtype="float64"),
    "feed-forward": lambda: cells.make("feed-forward", 4, param_dtype="float64"),
}


def arguments(cell):
    rng = np.random.default_rng(5)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    return params, state, jnp.asarray(rng.normal(size=(T, D)))


@pytest.mark.parametrize("name", MAKERS)
def test_means_over_windows_are_the_exponents_of_the_whole_run(name):
    cell = MAKERS[name]()
    params, state, xs = arguments(cell)
    count = jacobians.state_size(cell) - 1
    whole = jacobians.lyapunov_spectrum(cell, params, state, xs, key=KEY, count=count, burn_in=12, qr_interval=2)
    found = OF_CELL(cell, params, state, xs, window=8, key=KEY, count=count, burn_in=12, qr_interval=2)
    assert found.shape == (6, count)
    np.testing.assert_allclose(found.mean(axis=0), whole.exponents, rtol=1e-12, atol=1e-13)
    steps = OF_CELL(cell, params, state, xs, window=2, key=KEY, count=count, burn_in=12, qr_interval=2)
    sliding = OF_CELL(cell, params, state, xs, window=8, stride=4, key=KEY, count=count, burn_in=12, qr_interval=2)
    expected = [steps[k : k + 4].mean(axis=0) for k in range(0, 21, 2)]
    np.testing.assert_allclose(sliding, expected, rtol=1e-12, atol=1e-13)


def test_windows_of_a_diagonal_jacobian_are_means_of_its_logs():
    cell = MAKERS["mingru"]()
    params, state, xs = arguments(cell)
    found = OF_CELL(cell, params, state, xs, window=7, key=KEY)
    assert found.shape == (8, 5)  # the last 4 steps do not fill a window
    states, logs = state, []
    for x in xs:
        logs.append(np.log(np.abs(np.diagonal(jacobians.step_jacobian(cell, params, states, x)))))
        states = cell.step(params, states, cell.input_projection(params, x))
    logs = np.array(logs)
    order = np.argsort(-logs.mean(axis=0))
    expected = logs[:56].reshape(8, 7, 5).mean(axis=1)[:, order]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gaussian_steps_scatter_as_their_variance_over_the_window():
    """A linear cell of one unit with a multiplicative input has independent steps: variance of the mean is 1/w."""
    cell = MAKERS["mingru"]()
    params, state, _ = arguments(cell)
    xs = jnp.asarray(np.random.default_rng(1).normal(size=(6000, D)))
    short, long = (OF_CELL(cell, params, state, xs, window=w, key=KEY, count=1) for w in (10, 40))
    np.testing.assert_allclose(short.var() / long.var(), 4, rtol=0.25)


def test_dead_units_are_minus_infinity_in_every_window():
    w = np.random.default_rng(5).normal(size=(3, 3))
    w[:, 1] = 0  # unit 1 receives nothing
    cell = cells.linear(3, param_dtype="float64")
    params = ElmanParams(jnp.zeros((D, 3)), jnp.asarray(w), jnp.zeros(3))
    found = OF_CELL(cell, params, cell.initial_state(()), jnp.zeros((T, D)), window=20, key=KEY)
    assert (found[:, 2] == -np.inf).all()
    alive = np.log(np.abs(np.linalg.eigvals(np.delete(np.delete(w, 1, 0), 1, 1)))).sum()
    np.testing.assert_allclose(found[-1, :2].sum(), alive, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "`window` must be between 1 and the 60 steps after burn-in, not 0"),
        ({"window": 51, "burn_in": 10}, "`window` must be between 1 and the 50 steps after burn-in, not 51"),
        ({"window": 4, "stride": 0}, "`stride` must be at least 1"),
        ({"window": 4, "stride": 2, "qr_interval": 4}, "`qr_interval` 4 must divide both `window` 4 and `stride` 2"),
        ({"window": 5, "qr_interval": 2}, "`qr_interval` 2 must divide both `window` 5 and `stride` 5"),
        ({"window": 4, "count": 9}, "`count` must be between 1 and the 4"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    cell = MAKERS["elman"]()
    with pytest.raises(UserError, match=message):
        jacobians.finite_time_exponents(cell, *arguments(cell), key=KEY, **options)
