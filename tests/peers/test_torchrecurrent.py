"""Cells against torchrecurrent in float64: outputs, final states and every gradient."""

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import D, H, check, random_problem, scan, torch

torchrecurrent = pytest.importorskip("torchrecurrent")

pytestmark = pytest.mark.peers

F64 = {"param_dtype": "float64"}

# Not compared: torchrecurrent's LEM, whose hidden state reads the old memory and not the new one (Rusch et al. 2022,
# eq. 3); its RHN, which cannot be imported.


def maps(p):
    return {"weight_ih": p.w_x.T, "weight_hh": p.w_h.T, "bias_ih": p.b}


def upper(w):
    return torch.triu(w, 1).T


def antisymmetric(p):
    return {"weight_ih": p.w_x.T, "weight_hh": upper(p.w_h), "bias_ih": p.b[:H]}


def gated_antisymmetric(p):
    return {"weight_ih": p.w_x.T, "weight_hh": upper(p.w_h), "bias_ih": p.b}


def bistable_bias(p):
    return torch.cat([p.b, torch.zeros(H, dtype=p.b.dtype)])


def brc(p):
    return {"weight_ih": p.w_x.T, "weight_hh": torch.cat([p.diag_r, p.diag_u]), "bias_ih": bistable_bias(p)}


def nbrc(p):
    return {"weight_ih": p.w_x.T, "weight_hh": p.w_h.T, "bias_ih": bistable_bias(p)}


def cornn(p):
    return {"weight_ih": p.w_x.T, "weight_hh": p.w_h[:H].T, "weight_ch": p.w_h[H:].T, "bias_ih": p.b}


def minimalrnn(p):
    return {"weight_ih": p.w_x.T, "weight_hh": p.w_h.T, "weight_mm": p.w_n.T, "bias_ih": p.b, "bias_hh": p.b_u}


def multiplicative_lstm(p):
    w_x = torch.cat([p.w_mx, p.w_x], 1)  # m, then i, f, g, o
    return {"weight_ih": w_x.T, "weight_hh": p.w_mh.T, "weight_mh": p.w_m.T, "bias_mh": p.b}


def peephole_lstm(p):
    return {**maps(p), "weight_ph": torch.cat([p.peep_i, p.peep_f, p.peep_o])}


def ugrnn(p):
    return {name: a.roll(H, 0) for name, a in maps(p).items()}  # the peer has the candidate first


def unicornn(p):
    return {"weight_ih": p.w_x.T, "weight_hh": p.w, "weight_ch": p.c, "bias_ih": p.b}


#: Name: our cell, the peer's class and options, and its parameters from ours. Those not named are zero.
PAIRS = {
    "antisymmetric": (
        cells.antisymmetric(H, 0.3, 0.2, **F64),
        ("AntisymmetricRNNCell", {"epsilon": 0.3, "gamma": 0.2}),
        antisymmetric,
    ),
    "antisymmetric-gated": (
        cells.antisymmetric(H, 0.3, 0.2, gated=True, **F64),
        ("GatedAntisymmetricRNNCell", {"epsilon": 0.3, "gamma": 0.2}),
        gated_antisymmetric,
    ),
    "brc": (cells.brc(H, **F64), ("BRCell", {}), brc),
    "nbrc": (cells.nbrc(H, **F64), ("NBRCell", {}), nbrc),
    "cornn": (
        cells.cornn(H, 0.2, 1.5, 1.25, **F64),
        ("coRNNCell", {"dt": 0.2, "gamma": 1.5, "epsilon": 1.25}),
        cornn,
    ),
    "indrnn-relu": (
        cells.indrnn(H, "relu", **F64),
        ("IndRNNCell", {"nonlinearity": "relu"}),
        lambda p: {"weight_ih": p.w_x.T, "vector_u": p.u, "bias_ih": p.b},
    ),
    "indrnn-tanh": (
        cells.indrnn(H, "tanh", **F64),
        ("IndRNNCell", {"nonlinearity": "tanh"}),
        lambda p: {"weight_ih": p.w_x.T, "vector_u": p.u, "bias_ih": p.b},
    ),
    "ligru": (cells.ligru(H, **F64), ("LiGRUCell", {}), maps),
    "lstm-1997": (cells.lstm_1997(H, **F64), ("OriginalLSTMCell", {}), maps),
    "lstm-peephole": (cells.peephole_lstm(H, **F64), ("PeepholeLSTMCell", {}), peephole_lstm),
    "mgu": (cells.mgu(H, **F64), ("MGUCell", {}), maps),
    "minimalrnn": (cells.minimalrnn(H, **F64), ("MinimalRNNCell", {}), minimalrnn),
    "multiplicative-lstm": (
        cells.multiplicative_lstm(H, **F64),
        ("MultiplicativeLSTMCell", {}),
        multiplicative_lstm,
    ),
    "ugrnn": (cells.ugrnn(H, **F64), ("UGRNNCell", {}), ugrnn),
    "unicornn": (cells.unicornn(H, 0.4, 0.7, **F64), ("UnICORNNCell", {"dt": 0.4, "alpha": 0.7}), unicornn),
}


def peer_module(class_name, options):
    """Return the peer's cell with every parameter at zero."""
    module = getattr(torchrecurrent, class_name)(D, H, **options).double()
    for parameter in module.parameters():
        parameter.data.zero_()
    return module


@pytest.mark.parametrize("name", PAIRS)
def test_outputs_states_and_gradients_equal_torchrecurrents(name):
    cell, (class_name, options), weights_of = PAIRS[name]
    module = peer_module(class_name, options)

    def peer(params, state, xs):
        start = tuple(state) if len(state) > 1 else state[0]
        final, hs = scan(module, weights_of(params), start, xs)
        return type(state)(*final) if len(state) > 1 else type(state)(final), hs

    check(cell, peer, random_problem(cell))


def test_janet_equals_torchrecurrents():
    cell = cells.janet(H, input_shift=0.75, **F64)
    module = peer_module("JANETCell", {})

    def peer(params, state, xs):
        weights = {**maps(params), "beta": torch.tensor(0.75, dtype=torch.float64)}
        final, hs = scan(module, weights, (state.hidden, state.hidden), xs)  # the peer keeps its one state twice
        return type(state)(final[0]), hs

    check(cell, peer, random_problem(cell))
