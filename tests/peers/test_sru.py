"""The SRU against its authors' sru, its recurrence in Python, in float64."""

from unittest import mock

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import D, H, check, random_problem, torch

# The package compiles kernels in C++ and CUDA when it is imported. The recurrence in Python needs neither.
with mock.patch("torch.utils.cpp_extension.load"), mock.patch("torch.jit.script", lambda function: function):
    sru = pytest.importorskip("sru")

pytestmark = pytest.mark.peers


@pytest.mark.filterwarnings("ignore:Running SRU on CPU with grad_enabled")
@pytest.mark.parametrize("rescale", [False, True], ids=["plain", "rescaled"])
@pytest.mark.parametrize("inputs", [D, H], ids=["projected", "same"])
def test_sru_equals_the_peers(inputs, rescale):
    cell = cells.sru(H, highway_bias=-1.0, rescale=rescale, param_dtype="float64")
    module = sru.SRUCell(inputs, H, highway_bias=-1.0, rescale=rescale).double()
    module.scale_x = torch.sqrt(1 + 2 * torch.exp(torch.tensor([-1.0], dtype=torch.float64)))  # the peer's is float32

    def peer(params, state, xs):
        blocks = params.w_x.unflatten(1, (-1, H))  # [D, blocks, H]; the peer has the blocks of a unit side by side
        weights = {
            "transform_module.weight": blocks.permute(2, 1, 0).flatten(0, 1),
            "weight_c": torch.cat([params.v_f, params.v_r]),
            "bias": params.b,
        }
        hs, final = torch.func.functional_call(module, weights, (xs, state.cell))
        return type(state)(hs[-1], final), hs

    check(cell, peer, random_problem(cell, inputs))
