"""``∂E/∂s_t`` is the gradient with respect to a change added to each state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.jacobians.state_cotangents import state_cotangents
from tests.unroll.programs import jit

T, B, D, H = 5, 2, 3, 4
MAKERS = {
    "lstm": lambda: cells.lstm(H, param_dtype="float64"),
    "projected": lambda: cells.projected_lstm(H, projection_size=2, param_dtype="float64"),
    "summed": lambda: cells.stack(*[cells.elman(H, param_dtype="float64")] * 3, sum_outputs=True),
    "stack": lambda: cells.stack(
        cells.gru(H, reset="before", param_dtype="float64"), cells.elman(H, param_dtype="float64"), residual=True
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_cotangents_are_gradients_with_respect_to_added_changes(name):
    cell, rng = MAKERS[name](), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state((B,))))
    params, state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    xs = jnp.asarray(rng.normal(size=(T, B, D)))
    errors = jnp.asarray(rng.normal(size=(T, B, cell.spec.output_size)))

    def loss(shifts):
        s, total = state, 0.0
        for t, z in enumerate(cell.input_projection(params, xs)):
            s = jax.tree.map(lambda a, shift, t=t: a + shift[t], cell.step(params, s, z), shifts)
            total += (errors[t] * cell.readout(params, s)).sum()
        return total

    expected = jit(jax.grad(loss))(jax.tree.map(lambda a: jnp.zeros((T, *a.shape)), state))
    result = jit(state_cotangents, static_argnums=0)(cell, params, state, xs, output_cotangents=errors)
    assert jax.tree.structure(result) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)
