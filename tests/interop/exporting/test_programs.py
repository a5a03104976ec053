"""Programs of every output layer, serialised and read back, agree with the model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from rnnlm_jax.config import ModelConfig
from rnnlm_jax.interop.exporting.programs import export_programs, initial_state, rows_per_block
from rnnlm_jax.jobs.checkpoints.array_digests import named_leaves
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.outputs.output_registry import OUTPUTS
from rnnlm_jax.outputs.word_counts import WordCounts
from tests.training.tiny import random_params

V = 50
WORDS = WordCounts([f"w{i}" for i in range(V)], np.arange(V, 0, -1) % 17 + 1)
MAXENT = {"order": 3, "table_size": 2000}
FEW = {"num_samples": 5}
#: Every output layer, each over another kind of cell.
CASES = {
    "softmax": {"cell": "lstm"},
    "mixture-of-softmaxes": {"cell": "lstm", "tie_embeddings": True, "output_options": {"components": 3}},
    "class": {"cell": "gru"},
    "maxent": {"cell": "elman-tanh", "output_options": MAXENT},
    "hierarchical": {"cell": "lstm-layer-norm"},
    "adaptive": {"cell": "feed-forward", "output_options": {"cutoffs": "10:25", "div_value": 2}},
    "importance": {"cell": "gru-reset-before", "output_options": FEW},
    "nce": {"cell": "lstm-projected", "output_options": FEW},
    "blackout": {"cell": "lstm", "layers": 2, "residual": True, "remat_chunk": 2, "output_options": FEW},
}
assert CASES.keys() == OUTPUTS.keys()
CASES = {name: {"output": name, **case} for name, case in CASES.items()} | {
    "bfloat16, tied": {"cell": "gru", "dtype": "bfloat16", "tie_embeddings": True},
    "tied, projected": {"cell": "gru", "embedding_size": 5, "tie_embeddings": True},
    "float64": {"cell": "lstm", "dtype": "float64", "param_dtype": "float64"},
    "no cell": {"cell": "none", "output": "maxent", "output_options": MAXENT},
    "composed input": {"cell": "lstm", "input": "char-cnn", "input_options": {"filters": "3+4"}},
}


@functools.cache
def made(case):
    options = {"hidden_size": 8, "init_scale": 0.3} | CASES[case]
    pairs = {name: tuple(value.items()) for name, value in options.items() if name.endswith("_options")}
    return build_model(ModelConfig(**(options | pairs)), V, words=WORDS)


@functools.cache
def exported(case):
    """Return the deserialised programs of a case, with their parameters."""
    model = made(case)
    table, tabulated = model.tabulated(random_params(model))
    programs = export_programs(table, tabulated, ["cpu", "cuda", "tpu"])
    return [export.deserialize(program.serialize()) for program in programs], named_leaves(tabulated)


def start_of(model, batch):
    return {name: np.repeat(array, batch, axis=0) for name, array in initial_state(model).items()}


def tokens(steps, batch, seed=0):
    return np.random.default_rng(seed).integers(0, V, (2, steps, batch)).astype(np.int32)


@pytest.mark.parametrize("case", CASES)
def test_programs_agree_with_the_model(case):
    model = made(case)
    params = random_params(model)
    (step, score), named = exported(case)
    assert set(step.platforms) == set(score.platforms) == {"cpu", "cuda", "tpu"}
    dtype = jnp.dtype(model.cell.spec.param_dtype)
    assert {aval.dtype for aval in score.out_avals} <= {dtype, jnp.dtype(jnp.int32)}  # though x64 is on here
    # Compilers may round bfloat16 less often than the program states.
    close = {"rtol": 3e-3 if "bfloat16" in case else 1e-5, "atol": 1e-12 if dtype == jnp.float64 else 3e-6}

    (inputs, targets), state = tokens(5, 3), model.initial_state((3,))
    after, nats = score.call(named, start_of(model, 3), inputs, targets)
    wanted_after, wanted = jax.jit(model.token_nll)(params, state, inputs, targets)
    np.testing.assert_allclose(nats, wanted, **close)
    for name, leaf in named_leaves(wanted_after).items():
        np.testing.assert_allclose(after[name], leaf, **close)

    one, log_probs = step.call(named, start_of(model, 3), inputs[0])
    wanted_one, wanted = jax.jit(model.log_probs)(params, state, inputs[0])
    np.testing.assert_allclose(log_probs, wanted, **close)
    np.testing.assert_allclose(-log_probs[np.arange(3), targets[0]], nats[0], **close)
    for name, leaf in named_leaves(wanted_one).items():
        np.testing.assert_allclose(one[name], leaf, **close)


@pytest.mark.parametrize("case", ["softmax", "maxent"])
def test_one_program_for_every_batch_and_length(case):
    """And two windows, the state given on, are one; 3 x 90 rows are more than an output layer is given at once."""
    model = made(case)
    (_, score), named = exported(case)
    inputs, targets = tokens(90, 3)
    after, nats = score.call(named, start_of(model, 3), inputs, targets)
    state, halves = start_of(model, 3), []
    for half in (slice(0, 45), slice(45, 90)):
        state, found = score.call(named, state, inputs[half], targets[half])
        halves.append(found)
    np.testing.assert_allclose(np.concatenate(halves), nats, rtol=1e-5)
    _, alone = score.call(named, start_of(model, 1), inputs[:, 1:2], targets[:, 1:2])
    np.testing.assert_allclose(alone[:, 0], nats[:, 1], rtol=1e-5)
    for name, leaf in after.items():
        np.testing.assert_allclose(state[name], leaf, rtol=1e-5, atol=1e-6)


def test_no_kernel_and_no_folder_is_in_a_program():
    model = build_model(ModelConfig(cell="lstm", hidden_size=128, init_scale=0.1), 4096, words=None)
    program = export_programs(model, jax.eval_shape(model.init, jax.random.key(0)), ["cpu"]).score
    text = program.mlir_module()
    assert "rnnlm_jax_" not in text
    assert "shape_assertion" in text  # the only custom call: the module is one that would have others
    assert b"programs.py" in program.mlir_module_serialized
    assert b"/programs.py" not in program.mlir_module_serialized


def test_rows_per_block_fit():
    assert [rows_per_block(size) for size in (10, 32_768, 50_000, 793_471)] == [256, 256, 128, 16]
