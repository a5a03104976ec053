"""Gradients by lag on a text against autodiff through whole sequences, and against a tanh network by hand."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.horizons import gradient_decay
from rnnlm_jax.evaluation.horizons.gradient_decay import state_parts
from rnnlm_jax.language_model.model import language_model
from tests.evaluation.horizons.by_hand import ElmanByHand, read_before
from tests.training.tiny import random_params
from tests.unroll.programs import jit

#: The module; its name in the package is that of the function.
MODULE = sys.modules[gradient_decay.__module__]

V, D, LAG = 7, 3, 4
START = 5
TOKENS = np.random.default_rng(0).integers(0, V, 40).astype(np.int32)
LSTM, GRU = cells.lstm(4, param_dtype="float64"), cells.gru(3, param_dtype="float64")
MODELS = {
    name: language_model(cell, V, D)
    for name, cell in (
        ("elman", cells.elman(4, param_dtype="float64")),
        ("lstm", LSTM),
        ("gru", GRU),
        ("stack", cells.stack(LSTM, GRU)),
    )
}
#: Five positions, and the number of steps read before each: warm-up and lags.
INDICES, STEPS = [9, 16, 24, 32, 39], 2 * (LAG + 1)


def gradients(model, params, inputs, targets):
    """∂J/∂s and ∂J/∂x at every step of sequences ``[N, T]``, by adding a perturbation to each."""
    cell = model.cell

    def loss(perturbations, inputs, target):
        def step(s, at):
            x, (to_state, to_input) = at
            s = cell.step(params.cell, s, cell.input_projection(params.cell, x + to_input))
            return jax.tree.map(jnp.add, s, to_state), None

        s, _ = jax.lax.scan(step, cell.initial_state(()), (params.embedding[inputs], perturbations))
        logits = cell.readout(params.cell, s) @ params.output.w + params.output.b
        return jax.nn.logsumexp(logits) - logits[target]

    zeros = jax.tree.map(lambda s: jnp.zeros((STEPS, *s.shape)), (cell.initial_state(()), jnp.zeros(D)))
    return jax.vmap(jax.grad(loss), (None, 0, 0))(zeros, inputs, targets)


def log_norms(*parts):
    """Log norms of concatenated vectors, ``[N, T, ·]`` each, by lag."""
    vectors = np.concatenate(parts, axis=-1)
    with np.errstate(divide="ignore"):
        return np.log(np.linalg.norm(vectors, axis=-1))[:, ::-1][:, : LAG + 1]


@pytest.mark.parametrize("name", ["lstm", "gru", "stack"])
def test_norms_equal_autodiff_at_the_same_positions(name, monkeypatch):
    monkeypatch.setattr(MODULE, "BATCH_SIZE", 2)  # the third batch is filled up
    model = MODELS[name]
    params, reports = random_params(model), []
    found = gradient_decay(
        model, params, TOKENS, start_id=START, largest_lag=LAG, count=len(INDICES), progress=reports.append
    )
    read = np.stack([read_before(TOKENS, START, i, STEPS) for i in INDICES])
    states, inputs = jit(lambda params: gradients(model, params, read, TOKENS[INDICES]))(params)
    layers = states if name == "stack" else (states,)
    wanted = {"hidden": log_norms(*(layer.hidden for layer in layers)), "inputs": log_norms(inputs)}
    if name != "gru":
        wanted["cell"] = log_norms(layers[0].cell)
        assert (found.parts["cell"][:, 0] == -np.inf).all()  # the output reads h only
    assert found.parts.keys() == wanted.keys()
    assert found.lags.tolist() == list(range(LAG + 1))
    for part, norms in wanted.items():
        np.testing.assert_allclose(found.parts[part], norms, rtol=0, atol=1e-12)
    assert sum(reports) == 3 * 2 * STEPS
    through_cell = wanted["hidden" if name == "gru" else "cell"]
    np.testing.assert_allclose(found.direct_path[:, 1], through_cell[:, 1], rtol=0, atol=1e-12)
    assert np.isfinite(found.direct_path[:, 1:]).all()
    assert (np.diff(found.direct_path[:, 1:]) < 0).all()  # a gate is below one
    assert list(state_parts(model)) == [part for part in ("hidden", "cell") if part in wanted]


def test_a_text_as_long_as_the_lag_is_read_from_the_initial_state():
    model, tokens = MODELS["elman"], TOKENS[: LAG + 1]
    params = random_params(model)
    found = gradient_decay(model, params, tokens, start_id=START, largest_lag=LAG, count=len(INDICES))
    hidden, inputs = ElmanByHand(params).log_norms(read_before(tokens, START, LAG, LAG + 1), tokens[LAG], LAG + 1)
    assert found.parts.keys() == {"hidden", "inputs"}
    np.testing.assert_allclose(found.parts["hidden"], hidden[None], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.parts["inputs"], inputs[None], rtol=0, atol=1e-12)
    assert found.direct_path is None  # the state flows on through the weights only


def test_a_text_shorter_than_twice_the_lag_shortens_the_warm_up(monkeypatch):
    calls = []

    def norms_function(model, warm_up):
        def log_norms(params, inputs, targets):
            calls.append((warm_up, inputs.T.tolist(), targets.tolist()))
            return {"inputs": np.zeros((LAG + 1, targets.size))}

        return log_norms

    monkeypatch.setattr(MODULE, "norms_function", norms_function)
    found = gradient_decay(MODELS["elman"], None, TOKENS[:7], start_id=START, largest_lag=LAG, count=len(INDICES))
    assert calls == [(2, [[START, *TOKENS[:6]]], [TOKENS[6]])]
    assert found.parts["inputs"].shape == (1, LAG + 1)


def test_a_lag_beyond_the_text_is_an_error():
    model = MODELS["elman"]
    with pytest.raises(DataError, match="5 steps do not fit into a text of 4 tokens: ask for smaller lags"):
        gradient_decay(model, random_params(model), TOKENS[:4], start_id=START, largest_lag=LAG, count=3)
