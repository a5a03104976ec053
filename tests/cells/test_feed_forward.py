"""The feed-forward cell is the network of a fixed window: against the paper's formula on windows laid end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.jacobians.step_jacobian import step_jacobian
from rnnlm_jax.jobs.run_folder import build_model
from tests.unroll.programs import random_arrays, run
from tests.unroll.test_structured import loops, products

T, D, H = 7, 3, 5


@pytest.mark.parametrize("order", [2, 3, 5])
def test_it_is_one_product_with_the_window(order):
    cell = cells.feed_forward(H, order, param_dtype="float64")
    params, _, xs = random_arrays(cell, f"order {order}", steps=T, input_size=D)
    found = run(cell, params, cell.initial_state(xs.shape[1:2]), xs)[1]
    assert params.w_x.shape == (D, (order - 1) * H)

    matrix = np.concatenate(np.split(np.asarray(params.w_x), order - 1, axis=1))  # of the window, newest word first
    past = np.concatenate([np.zeros((order - 2, *xs.shape[1:])), xs])
    for t in range(T):
        window = np.concatenate(past[t : t + order - 1][::-1], axis=-1)
        np.testing.assert_allclose(found[t], np.tanh(window @ matrix + np.asarray(params.b_h)), rtol=0, atol=1e-14)


def test_it_forgets_what_leaves_the_window():
    """Exactly: the product of n - 1 step Jacobians is zero, and that of one fewer is not."""
    cell = cells.feed_forward(H, 4, param_dtype="float64")
    params, state, xs = random_arrays(cell, "forgets", batch=())
    matrix = np.asarray(step_jacobian(cell, params, state, xs[0]))
    assert matrix.shape == (3 * H, 3 * H)
    assert np.any(matrix @ matrix)
    assert not np.any(matrix @ matrix @ matrix)
    _, changed = run(cell, params, state, xs.at[0].add(100.0))
    _, hs = run(cell, params, state, xs)
    differs = np.any(np.asarray(changed) != np.asarray(hs), axis=-1)
    assert differs.tolist() == [True] * 3 + [False] * (len(xs) - 3)


def test_its_loop_has_no_product():
    cell = cells.feed_forward(H, param_dtype="float64")
    params, state, xs = random_arrays(cell)

    def loss(params, executor):
        return unroll(cell, params, state, xs, executor=executor)[1].sum()

    program = jax.make_jaxpr(jax.grad(lambda params: loss(params, "structured")))(params).jaxpr
    found = list(loops(program))
    assert len(found) == 2
    assert not [shape for loop in found for shape in products(loop.params["jaxpr"].jaxpr)]
    assert list(products(program))


@pytest.mark.parametrize("order", [1, 0, 2.5, True, "five", None])
def test_an_order_that_cannot_be(order):
    with pytest.raises(UserError, match="`order` must be a whole number of at least 2"):
        build_model(ModelConfig(cell="feed-forward", cell_options=(("order", order),), hidden_size=4), 9)


def test_a_bigram_network_has_no_register():
    cell = cells.feed_forward(H, 2)
    state = cell.initial_state((2,))
    assert state.pending is None
    params = cell.init(jax.random.key(0), D)
    other = jax.tree.map(lambda a: a + 1, state)
    z = cell.input_projection(params, jnp.ones((2, D)))
    np.testing.assert_array_equal(cell.step(params, state, z).hidden, cell.step(params, other, z).hidden)
