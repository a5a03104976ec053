"""The expRNN against torch's Elman cell with a matrix from geotorch, by an author of the expRNN, in float64."""

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import D, H, check, random_problem, scan, torch

geotorch = pytest.importorskip("geotorch")

pytestmark = pytest.mark.peers


def test_exprnn_equals_an_elman_cell_with_geotorchs_matrix():
    cell = cells.exprnn(H, "tanh", param_dtype="float64")
    module = torch.nn.RNNCell(D, H).double()
    group = geotorch.SO((H, H), lower=False).double()

    def peer(params, state, xs):
        base = {"base": torch.eye(H, dtype=torch.float64)}
        matrix = torch.func.functional_call(group, base, (params.skew,))
        zeros = torch.zeros(H, dtype=torch.float64)
        weights = {"weight_ih": params.w_x.T, "weight_hh": matrix.T, "bias_ih": params.b, "bias_hh": zeros}
        final, hs = scan(module, weights, state.hidden, xs)
        return type(state)(final), hs

    check(cell, peer, random_problem(cell))
