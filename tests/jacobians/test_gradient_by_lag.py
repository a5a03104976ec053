"""Norms of gradients by lag against automatic differentiation, and direct paths against gates computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.jacobians import decay_rates, gradient_by_lag
from rnnlm_jax.jacobians.direct_path import direct_path
from rnnlm_jax.jacobians.trajectory import trajectory
from tests.unroll.programs import jit

D, H, T, B = 3, 4, 6, 2
CELLS = {
    "elman": cells.elman(H, param_dtype="float64"),
    "lstm": cells.lstm(H, param_dtype="float64"),
    "gru": cells.gru(H, param_dtype="float64"),
    "layer_norm": cells.layer_norm_lstm(H, param_dtype="float64"),
    "summed": cells.stack(*[cells.elman(H, param_dtype="float64")] * 3, sum_outputs=True),
    "stack": cells.stack(cells.lstm(H, param_dtype="float64"), cells.gru(H, param_dtype="float64"), residual=True),
}


def sum_of_outputs(h):
    return h.sum()


def case(name, seed=0, steps=T):
    """Return a cell, random parameters, a batch of states and inputs, and the gradient of a loss of the last output."""
    cell, rng = CELLS[name], np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state((B,))))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.6 * rng.normal(size=s.shape)), shapes)
    return cell, params, state, jnp.asarray(rng.normal(size=(steps, B, D))), jnp.asarray(rng.normal(size=(B, H)))


@pytest.mark.parametrize("name", CELLS)
def test_norms_are_those_of_gradients_by_autodiff(name):
    """The reference is the loss as a function of an added change to each state and input."""
    cell, params, state, xs, output_gradient = case(name)
    result = jit(
        lambda params: gradient_by_lag(cell, params, state, xs, loss_of_output=lambda h: (h * output_gradient).sum(-1))
    )(params)

    def loss(changes, input_changes):
        s = jax.tree.map(jnp.add, state, changes[0])
        for t in range(T):
            s = cell.step(params, s, cell.input_projection(params, xs[t] + input_changes[t]))
            s = jax.tree.map(jnp.add, s, changes[t + 1])
        return (cell.readout(params, s) * output_gradient).sum()

    nothing = [jax.tree.map(jnp.zeros_like, state)] * (T + 1)
    by_state, by_input = jit(jax.grad(loss, argnums=(0, 1)))(nothing, [jnp.zeros_like(x) for x in xs])
    for lag in range(T + 1):
        expected = jax.tree.map(lambda part: jnp.log(jnp.linalg.norm(part, axis=-1)), by_state[T - lag])
        for norm, log_norm in zip(jax.tree.leaves(expected), jax.tree.leaves(result.state), strict=True):
            np.testing.assert_allclose(log_norm[lag], norm, rtol=0, atol=1e-12)
    for lag in range(T):
        expected = jnp.log(jnp.linalg.norm(by_input[T - 1 - lag], axis=-1))
        np.testing.assert_allclose(result.inputs[lag], expected, rtol=0, atol=1e-12)


def test_the_direct_path_of_an_lstm_is_its_forget_gates():
    cell, params, state, xs, output_gradient = case("lstm")
    zs = cell.input_projection(params, xs)

    @jit
    def by_lag_and_states(xs):
        result = gradient_by_lag(cell, params, state, xs, loss_of_output=lambda h: (h * output_gradient).sum(-1))
        return result.direct_path, trajectory(cell, params, state, zs).before

    result, before = by_lag_and_states(xs)
    a = zs + before.hidden @ params.w_h
    forget = np.asarray(jax.nn.sigmoid(a[..., H : 2 * H]))

    def at_lag_one(c):
        s = cell.step(params, jax.tree.map(lambda part: part[-1], before)._replace(cell=c), zs[-1])
        return (s.hidden * output_gradient).sum()

    delta = np.asarray(jit(jax.grad(at_lag_one))(before.cell[-1]))
    assert (np.asarray(result.cell[0]) == -np.inf).all()  # the output reads h alone
    for lag in range(1, T + 1):
        np.testing.assert_allclose(result.cell[lag], np.log(np.linalg.norm(delta, axis=-1)), rtol=0, atol=1e-12)
        delta = delta * forget[T - 1 - lag]
    assert (np.asarray(result.hidden[2:]) == -np.inf).all()


def test_direct_paths_of_other_cells():
    cell, params, state, xs, _ = case("gru")
    z = cell.input_projection(params, xs[0])
    slope = direct_path(cell, params, state, z).hidden
    r = cell.recurrent_projection(params, state)
    stays = np.asarray(cell.update(params, state._replace(hidden=state.hidden + 1.0), z, r).hidden)
    moved = stays - np.asarray(cell.update(params, state, z, r).hidden)  # linear in h where r is held fixed
    np.testing.assert_allclose(slope, moved, rtol=0, atol=1e-12)
    cell, params, state, xs, output_gradient = case("layer_norm")
    assert jax.tree.leaves(direct_path(cell, params, state, cell.input_projection(params, xs[0]))) == []
    cell, params, state, xs, output_gradient = case("elman")
    assert not np.asarray(direct_path(cell, params, state, cell.input_projection(params, xs[0])).hidden).any()


def test_gradients_below_the_range_of_float32_do_not_underflow():
    """A linear cell with weight ½: a gradient of 2^-1500, below the range of float64 too."""
    cell = cells.linear(2, bias=False)
    params = cell.init(jax.random.key(0), 2)._replace(w_h=0.5 * jnp.eye(2, dtype=jnp.float32))
    steps = 1500
    xs = jnp.zeros((steps, 2), jnp.float32)
    result = jit(
        lambda params: gradient_by_lag(cell, params, cell.initial_state(()), xs, loss_of_output=sum_of_outputs)
    )(params)
    expected = 0.5 * np.log(2) + np.arange(steps + 1) * np.log(0.5)
    np.testing.assert_allclose(result.state.hidden, expected, rtol=1e-6)


def test_norms_stay_below_the_bounds_of_the_weights():
    """Norms are below (γ σ_max)^lag; with γ = ¼ for the sigmoid, three steps multiply by ¼³ at most."""
    cell = cells.elman(3, activation="sigmoid", param_dtype="float64")
    params = cell.init(jax.random.key(0), 2)._replace(w_h=jnp.eye(3))
    rates = decay_rates(cell, params)
    np.testing.assert_allclose(rates, (np.log(0.25), 0.0), atol=1e-15)
    np.testing.assert_allclose(np.exp(3 * rates.log_norm_bound), 0.015625, rtol=1e-14)
    xs = jax.random.normal(jax.random.key(1), (9, 2), jnp.float64)
    result = jit(lambda xs: gradient_by_lag(cell, params, cell.initial_state(()), xs, loss_of_output=sum_of_outputs))(
        xs
    )
    decay = np.asarray(result.state.hidden) - float(result.state.hidden[0])
    assert (decay[1:] < np.arange(1, 10) * rates.log_norm_bound).all()
    assert decay_rates(CELLS["lstm"], None) is None
