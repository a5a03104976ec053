"""Derivatives where a norm or determinant is exactly zero: those of values of -inf are 0, never NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, jacobians

H, T = 2, 3
DEAD, LSTM = cells.elman(H, activation="relu"), cells.lstm(H)
FUNCTIONS = {
    "products": lambda p, s, xs: jacobians.products(DEAD, p, s, xs),
    "products_to_end": lambda p, s, xs: jacobians.products_to_end(DEAD, p, s, xs),
    "state_product": lambda p, s, xs: jacobians.state_product(DEAD, p, s, xs, i=3, j=1),
    "gradient_by_lag": lambda p, s, xs: jacobians.gradient_by_lag(
        DEAD, p, s, xs, loss_of_output=lambda h: h.sum(axis=-1)
    )[:2],
    "step_log_abs_det": lambda p, s, xs: jacobians.step_log_abs_det(DEAD, p, s, DEAD.input_projection(p, xs[0])),
    "spectrum": lambda p, s, xs: jacobians.spectrum(DEAD, p, s, xs, certify=False)[:2],
}


def finite_sum(tree):
    return sum(jnp.where(jnp.isfinite(leaf), leaf, jnp.zeros_like(leaf)).sum() for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_a_network_of_dead_units_are_finite(name):
    """All units are below their threshold, so every Jacobian is zero."""
    params = jax.tree.map(lambda p: jnp.full_like(p, -1), DEAD.init(jax.random.key(0), H))
    point = (params, jax.tree.map(jnp.ones_like, DEAD.initial_state(())), jnp.ones((T, H), jnp.float32))
    assert any((leaf == -jnp.inf).any() for leaf in jax.tree.leaves(FUNCTIONS[name](*point)))
    gradient = jax.grad(lambda point: finite_sum(FUNCTIONS[name](*point)))(point)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_gradient_of_an_lstm_with_zero_cell_state_is_finite():
    params, state = jax.tree.map(jnp.zeros_like, (LSTM.init(jax.random.key(0), H), LSTM.initial_state(())))

    def value(z):
        return jacobians.step_log_abs_det(LSTM, params, state, z)

    zeros = jnp.zeros(4 * H, jnp.float32)
    assert value(zeros) == -jnp.inf
    assert np.isfinite(jax.grad(value)(zeros)).all()
