"""Gradient flossing: its gradient against central differences, and gradient descent on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.elman import ElmanParams
from rnnlm_jax.jacobians.gradient_flossing import gradient_flossing
from tests.unroll.programs import jit

T, D, KEY = 20, 2, jax.random.key(3)
VALUE_AND_GRADIENT = jit(
    jax.value_and_grad(gradient_flossing, argnums=1), static_argnums=0, static_argnames=("count", "qr_interval")
)


def test_gradient_against_central_differences():
    cell, rng = cells.lstm(3, param_dtype="float64"), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    xs = jnp.asarray(rng.normal(size=(T, D)))

    def value(params):
        return VALUE_AND_GRADIENT(cell, params, state, xs, count=3, key=KEY, qr_interval=2)

    _, gradient = value(params)
    for _ in range(3):
        direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)
        ends = [value(jax.tree.map(lambda a, d, e=e: a + e * d, params, direction))[0] for e in (1e-6, -1e-6)]
        slope = sum((g * d).sum() for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_descent_draws_exponents_to_zero():
    """Descent starts from a linear network that doubles every vector: each exponent is ln 2."""
    cell, count = cells.linear(6, param_dtype="float64"), 4
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    params = ElmanParams(jnp.ones((D, 6)), jnp.asarray(2 * q), jnp.zeros(6))
    values = []
    for step in range(60):
        key = jax.random.fold_in(KEY, step)
        value, gradient = VALUE_AND_GRADIENT(
            cell, params, cell.initial_state(()), jnp.zeros((T, D)), count=count, key=key
        )
        params = jax.tree.map(lambda a, g: a - 0.1 * g, params, gradient)
        values.append(float(value))
    np.testing.assert_allclose(values[0], count * np.log(2) ** 2, rtol=1e-12)
    assert values[-1] < 1e-3


def test_options_out_of_range_are_refused():
    cell = cells.elman(3)
    state, xs = cell.initial_state(()), jnp.zeros((8, 1), jnp.float32)
    with pytest.raises(UserError, match="`qr_interval` 3 must divide"):
        gradient_flossing(cell, None, state, xs, count=2, key=KEY, qr_interval=3)
    with pytest.raises(UserError, match="`count` must be between 1 and the 3"):
        gradient_flossing(cell, None, state, xs, count=4, key=KEY)
