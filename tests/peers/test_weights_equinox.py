"""Weights of equinox's cells, both ways, in float32 with random biases: outputs to 1e-5."""

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells
from rnnlm_jax.interop import weights
from tests.interop.weight_cases import B, D, H, assert_close, inputs, outputs, random_params

eqx = pytest.importorskip("equinox")
pytestmark = pytest.mark.peers

CELLS = {"LSTMCell": cells.lstm(H), "GRUCell": cells.gru(H)}


def fields(module):
    return {name: leaf for name, leaf in vars(module).items() if eqx.is_array(leaf)}


@jax.jit
def run(module, xs):
    zero = jnp.zeros((B, H), xs.dtype)

    def step(state, x):
        state = jax.vmap(module)(x, state)
        return state, state[0] if isinstance(state, tuple) else state

    return jax.lax.scan(step, (zero, zero) if isinstance(module, eqx.nn.LSTMCell) else zero, xs)


@pytest.mark.parametrize("kind", CELLS)
def test_weights_convert_both_ways(kind):
    module = getattr(eqx.nn, kind)(D, H, dtype=jnp.float32, key=jax.random.key(0))
    xs = inputs()
    cell, params = weights.load("equinox", kind, fields(module))
    assert cell is CELLS[kind]
    their_state, theirs = run(module, xs)
    state, ours = outputs(cell, params, xs)
    assert_close(ours, theirs)
    jax.tree.map(assert_close, weights.dump_state("equinox", cell, state), their_state)

    params = random_params(cell, seed=4)
    dumped = weights.dump("equinox", cell, params)
    names = tuple(dumped)
    module = eqx.tree_at(
        lambda m: [getattr(m, n) for n in names], module, [jnp.asarray(dumped[name]) for name in names]
    )
    assert_close(outputs(cell, params, xs)[1], run(module, xs)[1])


@pytest.mark.parametrize("kind", CELLS)
def test_cells_without_biases_convert_both_ways(kind):
    module = getattr(eqx.nn, kind)(D, H, use_bias=False, dtype=jnp.float32, key=jax.random.key(1))
    xs = inputs()
    cell, params = weights.load("equinox", kind, fields(module))
    assert_close(outputs(cell, params, xs)[1], run(module, xs)[1])
    assert set(weights.dump("equinox", cell, params, biases=False)) == {"weight_ih", "weight_hh"}
