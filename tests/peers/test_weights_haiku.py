"""Weights of haiku's cores, both ways, in float32 with random biases: outputs and final states to 1e-5."""

import jax
import jax.numpy as jnp
import pytest

from rnnlm_jax import cells
from rnnlm_jax.interop import weights
from tests.interop.weight_cases import B, H, assert_close, inputs, outputs, random_like, random_params

hk = pytest.importorskip("haiku")
pytestmark = pytest.mark.peers

CORES = {
    "VanillaRNN": (lambda: hk.VanillaRNN(H), cells.elman(H, "relu")),
    "LSTM": (lambda: hk.LSTM(H), cells.lstm(H)),
    "GRU": (lambda: hk.GRU(H), cells.gru(H, "before")),
    "two LSTMs": (lambda: hk.DeepRNN([hk.LSTM(H), hk.LSTM(H)]), cells.stack(cells.lstm(H), cells.lstm(H))),
}


@pytest.mark.parametrize("name", CORES)
def test_weights_convert_both_ways(name):
    core, ours = CORES[name]
    xs = inputs()

    def run(xs):
        made = core()
        state = jax.tree.map(lambda a: a.astype(jnp.float32), made.initial_state(B))
        return hk.dynamic_unroll(made, xs, state)

    peer = hk.without_apply_rng(hk.transform(run))
    variables = random_like(jax.eval_shape(peer.init, jax.random.key(0), xs))
    cell, params = weights.load("haiku", name if name in ("VanillaRNN", "LSTM", "GRU") else "LSTM", variables)
    assert jax.tree.structure(random_params(ours)) == jax.tree.structure(params)
    apply = jax.jit(peer.apply)
    theirs, their_state = apply(variables, xs)
    state, hs = outputs(cell, params, xs)
    assert_close(hs, theirs)
    for a, b in zip(
        jax.tree.leaves(weights.dump_state("haiku", cell, state)), jax.tree.leaves(their_state), strict=True
    ):
        assert_close(a, b)

    params = random_params(ours, seed=3)
    dumped = weights.dump("haiku", ours, params)
    assert jax.tree.structure(dumped) == jax.tree.structure(variables)
    assert_close(outputs(ours, params, xs)[1], apply(dumped, xs)[0])


def test_a_vanilla_core_with_one_bias_converts_both_ways():
    xs = inputs()
    peer = hk.without_apply_rng(
        hk.transform(lambda xs: hk.dynamic_unroll(hk.VanillaRNN(H, double_bias=False), xs, jnp.zeros((B, H), xs.dtype)))
    )
    variables = random_like(jax.eval_shape(peer.init, jax.random.key(0), xs))
    cell, params = weights.load("haiku", "VanillaRNN", variables)
    assert_close(outputs(cell, params, xs)[1], peer.apply(variables, xs)[0])
    back = weights.dump("haiku", cell, params, biases=False)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
