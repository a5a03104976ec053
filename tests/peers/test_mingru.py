"""The minGRU and minLSTM against minGRU-pytorch in float64: stepped, and parallel in logarithms."""

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import D, H, check, from_zero_state, random_problem, torch

CLASSES = {
    "mingru": pytest.importorskip("minGRU_pytorch.minGRU").minGRU,
    "minlstm": pytest.importorskip("minGRU_pytorch.minLSTM").minLSTM,
}
MAPS = {"mingru": "to_hidden_and_gate", "minlstm": "to_hidden_and_f_i_gate"}

pytestmark = pytest.mark.peers

assert H == D + 1  # the peer has no bias: its inputs have a feature more, which is 1


def module_and_weights(name, params):
    """Return the peer's layer and its map, candidate first, with our bias as the row of the feature that is 1."""
    *gates, candidate = torch.cat([params.w_x, params.b[None]]).T.chunk(2 if name == "mingru" else 3)
    return CLASSES[name](H), {f"{MAPS[name]}.weight": torch.cat([candidate, *gates])}


def with_one(xs):
    """Return inputs ``[B, T, D + 1]``, of which the last feature is 1."""
    return torch.cat([xs, torch.ones_like(xs[..., :1])], -1).transpose(0, 1)


def positive(problem):
    """Return a problem whose first state is positive: the parallel form takes its logarithm."""
    params, state, xs, weights = problem
    return params, type(state)(abs(state.hidden) + 0.125), xs, weights


def make(name):
    return {"mingru": cells.mingru, "minlstm": cells.minlstm}[name](H, "positive", param_dtype="float64")


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
def test_steps_equal_the_peers(name):
    def peer(params, state, xs):
        module, weights = module_and_weights(name, params)
        hidden, hs = state.hidden[:, None], []
        for x in with_one(xs).split(1, dim=1):
            hidden = torch.func.functional_call(module, weights, (x, hidden))
            hs.append(hidden[:, 0])
        return type(state)(hs[-1]), torch.stack(hs)

    cell = make(name)
    check(cell, peer, random_problem(cell))


def test_mingru_equals_the_peers_parallel_form():
    def peer(params, state, xs):
        module, weights = module_and_weights("mingru", params)
        hs = torch.func.functional_call(module, weights, (with_one(xs), state.hidden[:, None])).transpose(0, 1)
        return type(state)(hs[-1]), hs

    cell = make("mingru")
    check(cell, peer, positive(random_problem(cell)))


def test_minlstm_equals_the_peers_parallel_form():
    # From zero: with a state the peer's parallel form differs from its own steps, for it applies g to the state.
    def peer(params, state, xs):
        module, weights = module_and_weights("minlstm", params)
        return None, torch.func.functional_call(module, weights, (with_one(xs),)).transpose(0, 1)

    cell = make("minlstm")
    check(cell, peer, from_zero_state(cell, random_problem(cell)), reads_state=False)
