"""Gated linear attention and DeltaNet against the plain forms of their authors' fla-core, a kernel library."""

import importlib.util
from pathlib import Path

import pytest

from rnnlm_jax import cells
from tests.peers.torch_peers import check, from_zero_state, random_problem, torch

pytestmark = pytest.mark.peers

HEADS, KEY, HIDDEN, RANK, TAU = 2, 2, 6, 3, 4.0
VALUE = HIDDEN // HEADS


def load(name):
    """Import a file of fla alone: the package imports Triton, which its plain forms do not need."""
    found = importlib.util.find_spec("fla")  # without importing it
    if found is None:
        pytest.skip("fla-core is not installed", allow_module_level=True)
    path = Path(found.submodule_search_locations[0], "ops", name, "naive.py")
    spec = importlib.util.spec_from_file_location(f"fla_{name}_naive", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gla, delta_rule = load("gla"), load("delta_rule")


def by_head(a):
    """Return ``[T, B, heads * d]`` as ``[B, heads, T, d]``."""
    return a.unflatten(-1, (HEADS, -1)).permute(1, 2, 0, 3)


def side_by_side(a):
    """Return ``[B, heads, T, d]`` as ``[T, B, heads * d]``."""
    return a.permute(2, 0, 1, 3).flatten(-2)


def test_gated_linear_attention_equals_the_peers():
    cell = cells.gla(HIDDEN, HEADS, key_size=KEY, gate_rank=RANK, temperature=TAU)  # the peer computes in float32

    def peer(params, state, xs):
        q, k, v, gate = (xs @ params.w_x).split([HEADS * KEY, HEADS * KEY, HIDDEN, HIDDEN], dim=-1)
        log_decay = torch.nn.functional.logsigmoid(xs @ params.w_down @ params.w_decay + params.b_decay) / TAU
        parts = [by_head(a).transpose(1, 2) for a in (q, k, v, log_decay)]
        read, final = gla.naive_recurrent_gla(*parts, state.memory.mT, output_final_state=True)
        hs = torch.nn.functional.silu(gate + params.b_gate) * side_by_side(read.transpose(1, 2))
        return type(state)(final.mT), hs

    check(cell, peer, random_problem(cell), tolerance=1e-5)


def delta_rule_inputs(params, xs, negative):
    """Return q, k, v and β by head; the peer divides queries by √d_k, which is undone here."""
    q, k, v, b = (xs @ params.w_x).split([HEADS * KEY, HEADS * KEY, HIDDEN, HEADS], dim=-1)
    q, k, v = (torch.nn.functional.silu(by_head(a)) for a in (q, k, v))
    q, k = (a / torch.sqrt((a * a).sum(-1, keepdim=True) + 1e-6) for a in (q, k))
    return q * KEY**0.5, k, v, torch.sigmoid(b).permute(1, 2, 0) * (2 if negative else 1)


@pytest.mark.parametrize("negative", [False, True], ids=["positive", "negative"])
def test_deltanet_equals_the_peers_recurrence(negative):
    cell = cells.deltanet(HIDDEN, HEADS, key_size=KEY, negative_eigenvalues=negative)  # the peer computes in float32

    def peer(params, state, xs):
        inputs = delta_rule_inputs(params, xs, negative)
        hs, final = delta_rule.delta_rule_recurrence(*inputs, initial_state=state.memory.mT)
        return type(state)(final.mT), side_by_side(hs)

    check(cell, peer, random_problem(cell), tolerance=1e-5)


@pytest.mark.parametrize("chunk_size", [2, 3, 6])
def test_deltanet_equals_the_peers_form_by_chunks(chunk_size):
    cell = cells.deltanet(HIDDEN, HEADS, key_size=KEY, param_dtype="float64")

    def peer(params, state, xs):
        inputs = delta_rule_inputs(params, xs, negative=False)
        hs, final = delta_rule.delta_rule_chunkwise(*inputs, chunk_size=chunk_size)
        return type(state)(final.mT), side_by_side(hs)

    check(cell, peer, from_zero_state(cell, random_problem(cell)), reads_state=False)
