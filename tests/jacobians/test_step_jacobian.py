"""Step Jacobians: all ways to compute them agree with automatic differentiation and closed forms, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.state_blocks import state_blocks
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian, jacobian_diagonals, structured_jacobian
from rnnlm_jax.cells.state_vector import from_vector
from rnnlm_jax.jacobians import state_size, step_jacobian, step_operator
from tests.unroll.programs import ADMISSIBLE

D, H = 3, 4
STACK = "stack"
SPLITTING = [name for name in cells.names() if cells.make(name, H).splits]


def case(name, seed=0):
    """Return a cell, random parameters and state, none of them zero, and an input."""
    make = dict.fromkeys(cells.names(), lambda: cells.make(name, H, param_dtype="float64"))
    make[STACK] = lambda: cells.stack(cells.lstm(H, param_dtype="float64"), cells.gru(H, param_dtype="float64"))
    cell = make[name]()
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(0.7 * rng.normal(size=s.shape)), shapes)
    if name in ADMISSIBLE:
        params, state = ADMISSIBLE[name](params, state)
    return cell, params, state, jnp.asarray(rng.normal(size=D))


@functools.partial(jax.jit, static_argnums=0)
def every_way(cell, params, state, x):
    """Return the step's Jacobian by automatic differentiation, and by every other way of the library."""
    z = cell.input_projection(params, x)
    operator, basis = step_operator(cell, params, state, z), jnp.eye(state_size(cell))
    ways = {
        "jvp": jax.vmap(operator.jvp)(basis).T,
        "vjp": jax.vmap(operator.vjp)(basis),
        "matrix": step_jacobian(cell, params, state, x),
    }
    if cell.splits:
        ways["structured"] = structured_jacobian(cell, params, state, z)
    by_autodiff = autodiff_jacobian(cell, params, state, z)
    in_blocks = state_blocks(cell).join(from_vector(cell)(jnp.diagonal(by_autodiff)))
    return by_autodiff, ways, (jacobian_diagonals(cell, params, state, z), in_blocks)


@pytest.mark.parametrize("name", [*cells.names(), STACK])
def test_every_way_agrees_with_autodiff(name):
    expected, ways, (diagonal, expected_diagonal) = every_way(*case(name))
    np.testing.assert_allclose(diagonal, expected_diagonal, rtol=0, atol=1e-12)
    assert ("structured" in ways) == (name in SPLITTING)
    for way, result in ways.items():
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12, err_msg=way)


def test_the_closed_form_of_an_elman_cell():
    cell, params, state, x = case("elman-tanh")
    a = x @ params.w_x + state.hidden @ params.w_h + params.b
    expected = (1 - np.tanh(a) ** 2)[:, None] * params.w_h.T
    np.testing.assert_allclose(step_jacobian(cell, params, state, x), expected, rtol=0, atol=1e-14)


def test_the_closed_form_and_determinant_of_an_lstm():
    cell, params, state, x = case("lstm")
    sigmoid = jax.nn.sigmoid
    a = x @ params.w_x + state.hidden @ params.w_h + params.b
    i, f, g, o = sigmoid(a[:H]), sigmoid(a[H : 2 * H]), jnp.tanh(a[2 * H : 3 * H]), sigmoid(a[3 * H :])
    u_i, u_f, u_g, u_o = (u.T for u in jnp.split(params.w_h, 4, axis=1))
    c = f * state.cell + i * g
    diag = jnp.diag
    block_a = diag(state.cell * f * (1 - f)) @ u_f + diag(g * i * (1 - i)) @ u_i + diag(i * (1 - g**2)) @ u_g
    e = diag(o * (1 - jnp.tanh(c) ** 2))
    block_b = diag(jnp.tanh(c) * o * (1 - o)) @ u_o
    expected = jnp.block([[block_b + e @ block_a, e @ diag(f)], [block_a, diag(f)]])
    result = step_jacobian(cell, params, state, x)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14)

    log_det = jnp.log(f).sum() + jnp.log(jnp.abs(jnp.tanh(c))).sum() + jnp.log(o * (1 - o)).sum()
    log_det += jnp.linalg.slogdet(u_o)[1]
    np.testing.assert_allclose(jnp.linalg.slogdet(result)[1], log_det, rtol=0, atol=1e-11)


def test_the_structured_jacobian_of_a_cell_that_does_not_split_is_refused():
    cell, params, state, x = case("gru-reset-before")
    with pytest.raises(UserError, match="does not split"):
        structured_jacobian(cell, params, state, cell.input_projection(params, x))
