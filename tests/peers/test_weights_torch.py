"""Weights of torch's layers, both ways, in float32 with random biases: outputs and final states to 1e-5."""

import jax
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.interop import weights
from tests.interop.weight_cases import D, H, P, assert_close, inputs, outputs, random_params, same_bits

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

KINDS = {
    "RNN_TANH": ("RNN", {"nonlinearity": "tanh"}, cells.elman(H, "tanh")),
    "RNN_RELU": ("RNN", {"nonlinearity": "relu"}, cells.elman(H, "relu")),
    "LSTM": ("LSTM", {}, cells.lstm(H)),
    "LSTM(proj_size)": ("LSTM", {"proj_size": P}, cells.projected_lstm(H, P)),
    "GRU": ("GRU", {}, cells.gru(H)),
}


def run(module, xs):
    with torch.no_grad():
        hs, state = module(torch.tensor(np.asarray(xs)))
    return jax.tree.map(np.asarray, state), hs.numpy()


@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_convert_both_ways(kind, layers, directions):
    name, options, one = KINDS[kind]
    torch.manual_seed(0)
    make = getattr(torch.nn, name)
    module = make(D, H, num_layers=layers, bidirectional=directions == 2, **options)
    xs = inputs()

    cell, params = weights.load("torch", kind.split("(")[0], module.state_dict())
    layer = cells.bidirectional(one, one) if directions == 2 else one
    assert cell is (cells.stack(*[layer] * layers) if layers > 1 else layer)
    their_state, theirs = run(module, xs)
    state, ours = outputs(cell, params, xs)
    assert_close(ours, theirs)
    jax.tree.map(assert_close, weights.dump_state("torch", cell, state, params=params), their_state)

    params = random_params(cell, seed=2)
    module.load_state_dict({name: torch.tensor(a) for name, a in weights.dump("torch", cell, params).items()})
    assert_close(outputs(cell, params, xs)[1], run(module, xs)[1])
    same_bits(params, weights.load("torch", cell, module.state_dict()).params)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_biases_convert_both_ways(kind):
    name, options, _ = KINDS[kind]
    torch.manual_seed(1)
    module = getattr(torch.nn, name)(D, H, bias=False, **options)
    xs = inputs()
    cell, params = weights.load("torch", kind.split("(")[0], module.state_dict())
    assert_close(outputs(cell, params, xs)[1], run(module, xs)[1])
    back = weights.dump("torch", cell, params, biases=False)
    same_bits(back, {name: a.numpy() for name, a in module.state_dict().items()})


def test_a_round_trip_from_torch_keeps_the_function():
    """Two biases become one, so the weights differ and the outputs do not."""
    torch.manual_seed(2)
    module, again = torch.nn.GRU(D, H), torch.nn.GRU(D, H)
    through = weights.dump("torch", *weights.load("torch", "GRU", module.state_dict()))
    again.load_state_dict({name: torch.tensor(a) for name, a in through.items()})
    assert (again.bias_ih_l0 != module.bias_ih_l0).any()
    assert_close(run(module, inputs())[1], run(again, inputs())[1], 1e-6)


def test_a_sequence_continues_from_a_torch_state():
    torch.manual_seed(3)
    module = torch.nn.LSTM(D, H, num_layers=2)
    cell, params = weights.load("torch", "LSTM", module.state_dict())
    state, _ = run(module, inputs(5))
    with torch.no_grad():
        theirs = module(torch.tensor(np.asarray(inputs(6))), tuple(torch.tensor(s) for s in state))[0].numpy()
    assert_close(outputs(cell, params, inputs(6), weights.load_state("torch", cell, state))[1], theirs)
