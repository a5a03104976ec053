"""The Mogrifier LSTM against the rounds of the package mogrifier and torch's LSTM cell, in float64."""

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import D, H, check, random_problem, torch

mogrifier = pytest.importorskip("mogrifier")

pytestmark = pytest.mark.peers

ROUNDS = 4


def factors(prefix, w, b, left):
    """Return the peer's names of ``w``, a matrix or two factors, and its bias; the first factor has none."""
    if left is None:
        return {f"{prefix}.0.weight": w.T, f"{prefix}.0.bias": b}
    return {
        f"{prefix}.0.0.weight": left.T,
        f"{prefix}.0.0.bias": torch.zeros(left.shape[1], dtype=left.dtype),
        f"{prefix}.0.1.weight": w.T,
        f"{prefix}.0.1.bias": b,
    }


@pytest.mark.parametrize("rank", [None, 2], ids=["full", "factored"])
def test_mogrifier_lstm_equals_the_peers_rounds_and_torchs_lstm(rank):
    cell = cells.mogrifier_lstm(H, ROUNDS, rank, param_dtype="float64")
    pairs = ROUNDS // 2
    # The peer has one matrix for all rounds of one kind: a module of two rounds for each pair of ours.
    module = mogrifier.Mogrifier(D, iters=2, factorize_k=rank, dim_hidden=H).double()
    lstm = torch.nn.LSTMCell(D, H).double()

    def split(a):
        return [None] * pairs if a is None else a.chunk(pairs, -1)

    def peer(params, state, xs):
        q = list(map(split, (params.w_q, params.b_q, params.left_q)))
        r = list(map(split, (params.w_r, params.b_r, params.left_r)))
        zeros = torch.zeros_like(params.b)
        weights = {"weight_ih": params.w_x.T, "weight_hh": params.w_h.T, "bias_ih": params.b, "bias_hh": zeros}
        h, c = state
        hs = []
        for x in xs:
            for k in range(pairs):
                rounds = {**factors("Q", *(a[k] for a in q)), **factors("R", *(a[k] for a in r))}
                x, h = torch.func.functional_call(module, rounds, (x, h))
            h, c = torch.func.functional_call(lstm, weights, (x, (h, c)))
            hs.append(h)
        return type(state)(h, c), torch.stack(hs)

    check(cell, peer, random_problem(cell))
