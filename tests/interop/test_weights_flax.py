"""Flax's own cells and ours have equal outputs with converted weights, every bias non-zero, both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from rnnlm_jax import cells
from rnnlm_jax.interop import weights
from tests.interop.weight_cases import B, D, H, assert_close, inputs, outputs, random_like, random_params, same_bits

LINEN = {
    "LSTMCell": cells.lstm(H),
    "OptimizedLSTMCell": cells.lstm(H),
    "GRUCell": cells.gru(H),
    "MGUCell": None,  # ours need two equal gates, as those that are loaded have
    "SimpleCell": cells.elman(H),
}


@pytest.mark.parametrize("kind", LINEN)
def test_linen_cells_convert_both_ways(kind):
    rnn = linen.RNN(getattr(linen, kind)(H), time_major=True, return_carry=True)
    xs = inputs()
    variables = random_like(jax.eval_shape(rnn.init, jax.random.key(0), xs))
    cell, params = weights.load("linen", kind, variables, prefix="params.cell")
    carry, theirs = rnn.apply(variables, xs)
    state, ours = outputs(cell, params, xs)
    assert_close(ours, theirs)
    jax.tree.map(assert_close, weights.dump_state("linen", cell, state), carry)

    if LINEN[kind] is None:
        return
    cell, params = LINEN[kind], random_params(LINEN[kind])
    variables = weights.dump("linen", cell, params, kind=kind, prefix="params.cell")
    assert_close(outputs(cell, params, xs)[1], rnn.apply(variables, xs)[1])


NNX = {
    "LSTMCell": cells.lstm(H),
    "OptimizedLSTMCell": cells.lstm(H),
    "GRUCell": cells.gru(H, candidate_bias=False),
    "SimpleCell": cells.elman(H),
}


@pytest.mark.parametrize("kind", NNX)
def test_nnx_cells_convert_both_ways(kind):
    module = getattr(nnx, kind)(D, H, rngs=nnx.Rngs(0))
    xs = inputs()

    def run():
        carry = module.initialize_carry((B, D), nnx.Rngs(0))
        hs = []
        for x in xs:
            carry, h = module(carry, x)
            hs.append(h)
        return carry, jnp.stack(hs)

    nnx.update(module, random_like(nnx.state(module, nnx.Param)))
    cell, params = weights.load("nnx", kind, nnx.state(module, nnx.Param))
    carry, theirs = run()
    state, ours = outputs(cell, params, xs)
    assert_close(ours, theirs)
    jax.tree.map(assert_close, weights.dump_state("nnx", cell, state), carry)

    cell, params = NNX[kind], random_params(NNX[kind], seed=1)
    nnx.update(module, weights.dump("nnx", cell, params, kind=kind))
    assert_close(outputs(cell, params, xs)[1], run()[1])


def test_relu_in_a_simple_cell():
    rnn = linen.RNN(linen.SimpleCell(H, activation_fn=jax.nn.relu), time_major=True)
    xs = inputs()
    variables = random_like(jax.eval_shape(rnn.init, jax.random.key(0), xs))
    cell, params = weights.load("linen", cells.elman(H, "relu"), variables, prefix="params.cell")
    assert_close(outputs(cell, params, xs)[1], rnn.apply(variables, xs))


def test_a_gru_goes_from_linen_to_torch_to_linen():
    """Linen has seven arrays where torch has four."""
    cell, params = cells.gru(H), random_params(cells.gru(H))
    tree = weights.dump("linen", cell, params)
    through = weights.load("torch", "GRU", weights.dump("torch", *weights.load("linen", "GRUCell", tree)))
    same_bits(tree, weights.dump("linen", *through))
    assert np.any(tree["hn"]["bias"])
