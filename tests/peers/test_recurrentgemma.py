"""The RG-LRU against its authors' recurrentgemma, in torch, in float64."""

import functools

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import B, T, check, random_problem, torch

layers = pytest.importorskip("recurrentgemma.torch.layers")

pytestmark = pytest.mark.peers

HIDDEN, INPUTS = 6, 4


@pytest.mark.parametrize("inputs", [HIDDEN, INPUTS], ids=["same", "projected"])
@pytest.mark.parametrize("heads", [1, 3])
def test_rg_lru_equals_the_peers(heads, inputs, monkeypatch):
    cell = cells.rg_lru(HIDDEN, heads, param_dtype="float64")
    module = layers.RGLRU(HIDDEN, heads, dtype=torch.float64)
    monkeypatch.setattr(layers, "rnn_scan", functools.partial(layers.rnn_scan, acc_dtype=torch.float64))

    def peer(params, state, xs):
        weights = {
            "a_param": params.decay,
            "a_gate.w": params.w_a.unflatten(0, (heads, -1)),
            "a_gate.b": params.b_a.unflatten(0, (heads, -1)),
            "input_gate.w": params.w_i.unflatten(0, (heads, -1)),
            "input_gate.b": params.b_i.unflatten(0, (heads, -1)),
        }
        xs = xs if params.w_x is None else xs @ params.w_x
        # Counted from 1: the peer treats position 0, the start of a document, in a way of its own.
        positions = torch.arange(1, T + 1).expand(B, T)
        arguments = (xs.transpose(0, 1), positions, state.hidden)
        hs, final = torch.func.functional_call(module, weights, arguments)
        return type(state)(final), hs.transpose(0, 1)

    check(cell, peer, random_problem(cell, inputs))
