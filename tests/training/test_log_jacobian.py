"""``log_jacobian``: the logged figure against autodiff Jacobians; nothing else changes."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.cli.main import main
from rnnlm_jax.config import ModelConfig, replace
from rnnlm_jax.data import Batch, StreamBatches
from rnnlm_jax.jobs.run_folder import RunFolder, build_model
from rnnlm_jax.training.jacobian_log import (
    FACTORED,
    jacobian_figures,
    layer_runs,
    make_jacobian_log,
    measured_positions,
)
from rnnlm_jax.training.step import step_key
from rnnlm_jax.training.texts import load_texts
from rnnlm_jax.training.train import train
from rnnlm_jax.training.train_state import initial_train_state
from rnnlm_jax.training.training_program import training_program
from tests.training.tiny import assert_same_bits, last_checkpoint, random_params, records, tiny_config

JACOBIANS = jax.jit(
    lambda cell, params, states, zs: jax.vmap(functools.partial(autodiff_jacobian, cell, params))(states, zs),
    static_argnums=0,
)


def log_dets(model, params, state, inputs):
    """Return log|det| / n of the full state at every position ``[T, B]``, by autodiff through the whole stack."""
    found = []
    for x in params.embedding[inputs]:
        z = model.cell.input_projection(params.cell, x)
        matrices = np.asarray(JACOBIANS(model.cell, params.cell, state, z), np.float64)
        found.append(np.linalg.slogdet(matrices)[1] / matrices.shape[-1])
        state = model.cell.step(params.cell, state, z)
    return np.stack(found)


def log(run):
    return [record for record in records(run) if record["kind"] == "step"]


def test_the_logged_figure_is_that_of_autodiff(corpus, tmp_path):
    """Two layers, at the first step, with the initial parameters."""
    config = tiny_config(
        corpus,
        model={"cell": "lstm", "hidden_size": 3, "layers": 2, "init_scale": 0.5},
        training={"epochs": 1, "log_every": 1, "log_jacobian": True},
    )
    train(config, tmp_path / "run")
    texts = load_texts(config.data)
    model = build_model(config.model, texts.vocabulary.size)
    state = training_program(model, config).initial_state()
    batch = StreamBatches(texts.train.tokens, 2, 10, first_input=texts.vocabulary.start_id)[0]
    wanted = log_dets(model, state.params, state.model_state, batch.inputs).mean()
    first, *rest = log(tmp_path / "run")
    assert first["jacobian_log_det"] == pytest.approx(wanted, rel=1e-4)
    assert first["jacobian_log_det"] == pytest.approx(np.mean(first["jacobian_log_det_layers"]), rel=1e-6)
    assert len(first["jacobian_log_det_layers"]) == 2
    assert len({record["jacobian_log_det"] for record in rest}) == len(rest)  # parameters and text change


def test_logging_changes_no_other_number_and_may_be_switched_on_later(corpus, tmp_path, capsys):
    config = tiny_config(corpus, training={"epochs": 2, "log_every": 2})
    train(config, tmp_path / "without")
    with_it = replace(config, training={"log_jacobian": True})
    train(replace(config, training={"epochs": 1}), tmp_path / "with")
    train(with_it, tmp_path / "with", resume=True)
    assert_same_bits(last_checkpoint(tmp_path / "with")[0], last_checkpoint(tmp_path / "without")[0])
    plain, logged = log(tmp_path / "without"), log(tmp_path / "with")
    assert not any("jacobian_log_det" in record for record in plain)
    half = len(logged) // 2
    assert ["jacobian_log_det" in record for record in logged] == [False] * half + [True] * (len(logged) - half)
    assert plain == [{k: v for k, v in r.items() if k != "jacobian_log_det"} for r in logged]  # one layer: no list

    assert main(["train", "--help-all"]) == 0
    assert "--log-jacobian" in capsys.readouterr().out


def test_the_log_det_of_a_singular_jacobian_is_null_in_json(corpus, tmp_path):
    """Half of the units of a relu network have slope 0: log|det| is -inf, which JSON cannot represent."""
    training = {"epochs": 1, "log_every": 5, "log_jacobian": True}
    train(tiny_config(corpus, model={"cell": "elman-relu"}, training=training), tmp_path / "run")
    assert jacobian_figures(np.array([-np.inf, -1.0])) == {"jacobian_log_det": -np.inf}
    lines = RunFolder(tmp_path / "run").metrics.read_text().splitlines()
    found = [json.loads(line) for line in lines if '"step"' in line.split(",")[0]]
    assert found
    assert all(record["jacobian_log_det"] is None for record in found)


T, B, V = 6, 3, 5


def small_problem(**options):
    """Return a model in float64, its training state, and a batch with some masked tokens."""
    model = build_model(ModelConfig(hidden_size=4, dtype="float64", param_dtype="float64", **options), V)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: initial_train_state(model, optax.sgd(0.1), B))
    state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype), shapes)
    state = state._replace(params=random_params(model))
    inputs = rng.integers(0, V, (T, B)).astype(np.int32)
    return model, state, Batch(inputs, inputs, rng.random((T, B)) < 0.7)


@pytest.mark.parametrize("carries_state", [True, False])
def test_masked_tokens_are_left_out(carries_state):
    model, state, batch = small_problem(cell="lstm-peephole", layers=2, residual=True)
    found = make_jacobian_log(model, 0, carries_state=carries_state)(state, batch)
    before = state.model_state if carries_state else model.initial_state((B,))
    wanted = log_dets(model, state.params, before, batch.inputs)[batch.mask].mean()
    np.testing.assert_allclose(found[0], wanted, rtol=1e-10)
    np.testing.assert_allclose(found[1:].mean(), wanted, rtol=1e-10)


def test_cells_without_a_closed_form_are_measured_at_a_few_tokens():
    model, state, batch = small_problem(cell="gru")
    found = make_jacobian_log(model, 0, carries_state=True)(state, batch)
    time, sequence = measured_positions(batch.mask)
    assert len(time) == FACTORED
    assert batch.mask[time, sequence].all()
    assert time[0] == 0
    assert time[-1] == T - 1
    wanted = log_dets(model, state.params, state.model_state, batch.inputs)[time, sequence].mean()
    np.testing.assert_allclose(found, [wanted, wanted], rtol=1e-10)
    assert np.isnan(
        make_jacobian_log(model, 0, carries_state=True)(state, batch._replace(mask=np.zeros((T, B), bool)))
    ).all()


def test_state_dropout_is_refused():
    model, _, _ = small_problem(dropout_state=0.1)
    with pytest.raises(UserError, match="`log_jacobian` cannot measure cells with `dropout_state`"):
        make_jacobian_log(model, 0, carries_state=True)


@pytest.mark.parametrize("added", ["residual", "sum_outputs"])
def test_the_layers_states_are_those_of_the_step(added):
    """With dropout: the final states are those of the model with the same key."""
    recurrent = {"weight_drop": 0.3, "zoneout": 0.2, "zoneout_cell": 0.2, "dropout_embedding": 0.2}
    inputs = {"dropout_input": 0.3, "dropout_hidden": 0.4}
    model, state, batch = small_problem(cell="lstm", layers=3, **{added: True}, **inputs, **recurrent)
    step, before = jnp.asarray(7, jnp.int32), state.model_state

    @jax.jit
    def ends(step):
        key = step_key(model, 5, step)
        return [run.states.after for run in layer_runs(model, state.params, before, batch.inputs, key=key)]

    wanted, _ = jax.jit(lambda s: model.hidden(state.params, before, batch.inputs, step_key(model, 5, s)))(step)
    for states, last in zip(ends(step), wanted, strict=True):
        np.testing.assert_allclose(states.cell[-1], last.cell, rtol=1e-12)
        np.testing.assert_allclose(states.hidden[-1], last.hidden, rtol=1e-12)
