"""Derivatives with respect to inputs and of outputs, against automatic differentiation of the whole sequence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from rnnlm_jax.cells.elman import ElmanParams
from rnnlm_jax.cells.state_vector import from_vector, to_vector
from tests.unroll.programs import jit

D, T = 3, 5
NAMES = ("lstm", "gru-reset-before", "deltanet")
MAKERS = {name: functools.partial(cells.make, name, 4, param_dtype="float64") for name in NAMES}
MAKERS["stack"] = lambda: cells.stack(cells.lstm(2, param_dtype="float64"), cells.gru(3, param_dtype="float64"))


def arguments(cell, batch=()):
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state(batch)))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.6 * rng.normal(size=s.shape)), shapes)
    return params, state, jnp.asarray(rng.normal(size=(T, *batch, D)))


def squares(h):
    """Return numbers that depend on the output, two less than it has."""
    return jnp.square(h[1:-1]) + h[:-2]


def run(cell, params, state, xs):
    """Return the last state, and the output of the last step."""
    zs = cell.input_projection(params, xs)
    state, _ = jax.lax.scan(lambda s, z: (cell.step(params, s, z), None), state, zs)
    return state, cell.output(params, state, zs[-1])


@functools.partial(jit, static_argnums=(0, 4, 5))
def blocks(cell, params, state, xs, i, j):
    """Return what the library gives, and the same by automatic differentiation."""
    unravel = from_vector(cell)
    before, _ = jax.lax.scan(
        lambda s, x: (cell.step(params, s, cell.input_projection(params, x)), None), state, xs[: j - 1]
    )
    at_j = cell.step(params, before, cell.input_projection(params, xs[j - 1]))

    def of_input(x):
        last, h = run(cell, params, before, xs[j - 1 : i].at[0].set(x))
        return to_vector(last), squares(h)

    def of_state(s):
        if i == j:
            return squares(cell.output(params, unravel(s), cell.input_projection(params, xs[i - 1])))
        return squares(run(cell, params, unravel(s), xs[j:i])[1])

    found = {
        "input_to_state": jacobians.input_to_state(cell, params, state, xs, i=i, j=j).plain(),
        "input_to_output": jacobians.input_to_output(cell, params, state, xs, i=i, j=j, output=squares).plain(),
        "state_to_output": jacobians.state_to_output(cell, params, state, xs, i=i, j=j, output=squares).plain(),
    }
    expected = dict(zip(("input_to_state", "input_to_output"), jax.jacfwd(of_input)(xs[j - 1]), strict=True))
    expected["state_to_output"] = jax.jacfwd(of_state)(to_vector(at_j))
    if i == j:
        found["input"] = jacobians.input_jacobian(cell, params, before, xs[j - 1])
        found["output"] = jacobians.output_jacobian(cell, params, at_j, xs[j - 1], output=squares)
        expected["input"], expected["output"] = expected["input_to_state"], expected["state_to_output"]
    return found, expected


@pytest.mark.parametrize(("i", "j"), [(5, 2), (3, 3)])
@pytest.mark.parametrize("name", MAKERS)
def test_blocks_are_those_of_automatic_differentiation(name, i, j):
    cell = MAKERS[name]()
    found, expected = blocks(cell, *arguments(cell), i, j)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-10, atol=1e-13, err_msg=key)


def test_products_are_those_of_the_blocks():
    """``∂h_i/∂x_j = ∂h_i/∂s_i ∂s_i/∂s_j ∂s_j/∂x_j``, for a cell without a gated readout; and with batch axes."""
    cell = MAKERS["lstm"]()
    params, state, xs = arguments(cell, (2,))
    whole = jacobians.input_to_output(cell, params, state, xs, i=4, j=2)
    assert whole.log_scale.shape == (2,)
    middle = jacobians.state_product(cell, params, state, xs, i=4, j=2)
    right = jacobians.input_to_state(cell, params, state, xs, i=2, j=2)
    left = jacobians.state_to_output(cell, params, state, xs, i=4, j=4)
    np.testing.assert_allclose(whole.plain(), left.plain() @ middle.plain() @ right.plain(), rtol=1e-12, atol=1e-15)
    block = jacobians.select(middle, jacobians.part_of(cell, "hidden"), slice(None))
    np.testing.assert_allclose(left.plain() @ middle.plain(), block.plain(), rtol=1e-12, atol=1e-15)
    one = jacobians.input_to_output(cell, params, jax.tree.map(lambda s: s[1], state), xs[:, 1], i=4, j=2)
    np.testing.assert_allclose(one.plain(), whole.plain()[1], rtol=1e-12)


def test_products_beyond_the_range_of_the_dtype_keep_their_scale():
    """A linear network that shrinks every state by 1/4 a step: the scale at lag 500 is -500 ln 4."""
    cell = cells.linear(2)
    params = ElmanParams(jnp.eye(2, dtype=jnp.float32), 0.25 * jnp.eye(2, dtype=jnp.float32), jnp.zeros(2, jnp.float32))
    found = jacobians.input_to_output(cell, params, cell.initial_state(()), jnp.ones((501, 2), jnp.float32), i=501, j=1)
    np.testing.assert_allclose(found.log_scale, -500 * np.log(4) + 0.5 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found.matrix, np.eye(2) / np.sqrt(2), rtol=1e-6)
    found = jacobians.state_to_output(cell, params, cell.initial_state(()), jnp.ones((501, 2), jnp.float32), i=501, j=1)
    np.testing.assert_allclose(found.log_scale, -500 * np.log(4) + 0.5 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize(("i", "j"), [(2, 0), (2, 3), (T + 1, 2)])
def test_steps_out_of_range_are_refused(i, j):
    cell = MAKERS["lstm"]()
    params, state, xs = arguments(cell)
    for function in (jacobians.input_to_state, jacobians.input_to_output):
        with pytest.raises(UserError, match="must satisfy 1 <= j <= i <= 5"):
            function(cell, params, state, xs, i=i, j=j)
    with pytest.raises(UserError, match="must satisfy 0 <= j <= i <= 5"):
        jacobians.state_to_output(cell, params, state, xs, i=0, j=0)
