"""The sLSTM and the mLSTM against the recurrences of their authors' xlstm in float64."""

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import check, from_zero_state, random_problem, torch

vanilla = pytest.importorskip("xlstm.blocks.slstm.src.vanilla")
backends = pytest.importorskip("xlstm.blocks.mlstm.backends")

pytestmark = pytest.mark.peers

HEADS, HIDDEN, KEY = 2, 6, 2
SIZE = HIDDEN // HEADS


def with_positive_normalizer(problem):
    params, state, xs, weights = problem
    return params, state._replace(normalizer=abs(state.normalizer) + 0.5), xs, weights


def slstm_peer(params, state, xs):
    recurrent = params.w_h.unflatten(0, (HEADS, SIZE)).mT  # [heads, 4 d, d], gates in the order i, f, z, o as ours
    states = torch.stack([part.flatten(-2) for part in state])  # h, c, n, m
    pointwise = vanilla.slstm_pointwise_function_registry["slstm"]
    every, last, _ = vanilla.slstm_forward(xs @ params.w_x, states, recurrent, params.b, pointwise)
    return type(state)(*(part.unflatten(-1, (HEADS, SIZE)) for part in last)), every[0, 1:]


@pytest.mark.parametrize("start", ["zero", "random"])
def test_slstm_equals_the_peers(start):
    cell = cells.slstm(HIDDEN, HEADS, param_dtype="float64")
    problem = random_problem(cell)
    if start == "zero":  # where nothing is stored, gradients by what is stored are a matter of convention
        check(cell, slstm_peer, from_zero_state(cell, problem), reads_state=False)
    else:
        check(cell, slstm_peer, with_positive_normalizer(problem))


def mlstm_parts(params, xs):
    """Return q, k, v, i and f ``[B, heads, T, ·]``, and the output gate ``[T, B, H]``."""
    keys = HEADS * KEY
    q, k, v, o, i, f = (xs @ params.w_x + params.b).split([keys, keys, HIDDEN, HIDDEN, HEADS, HEADS], dim=-1)
    return [a.unflatten(-1, (HEADS, -1)).permute(1, 2, 0, 3) for a in (q, k, v, i, f)], torch.sigmoid(o)


def side_by_side(a):
    """Return ``[B, heads, T, d]`` as ``[T, B, heads * d]``."""
    return a.permute(2, 0, 1, 3).flatten(-2)


def mlstm_steps(params, state, xs):
    parts, gate = mlstm_parts(params, xs)
    c, n, m = state.memory.mT, state.normalizer[..., None], state.stabilizer[..., None, None]
    hs = []
    for step in zip(*(a.split(1, dim=2) for a in parts), strict=True):
        h, (c, n, m) = backends.recurrent_step_stabilized_simple(c, n, m, *(a.clone() for a in step), eps=0.0)
        hs.append(h)
    return type(state)(c.mT, n[..., 0], m[..., 0, 0]), gate * side_by_side(torch.cat(hs, 2))


def mlstm_parallel(params, state, xs):
    parts, gate = mlstm_parts(params, xs)
    return None, gate * side_by_side(backends.parallel_stabilized_simple(*parts, eps=0.0))


def test_mlstm_equals_the_peers_steps():
    cell = cells.mlstm(HIDDEN, HEADS, key_size=KEY, param_dtype="float64")
    check(cell, mlstm_steps, random_problem(cell))


def test_mlstm_equals_the_peers_parallel_form():
    cell = cells.mlstm(HIDDEN, HEADS, key_size=KEY, param_dtype="float64")
    check(cell, mlstm_parallel, from_zero_state(cell, random_problem(cell)), reads_state=False)
