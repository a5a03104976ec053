"""Run folders: models from configurations, files written whole, and the package's own example."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnlm_jax
from rnnlm_jax import UserError, runs
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.config import Config, ModelConfig, replace
from rnnlm_jax.runs import RunFolder, build_model, read_config, write_json, write_new_run, write_text
from tests.training.tiny import vocabulary


def test_the_packages_example_runs():
    results = doctest.testmod(rnnlm_jax)
    assert results.attempted >= 6
    assert results.failed == 0


def test_a_configuration_becomes_its_model():
    config = ModelConfig(
        cell="lstm-projected",
        cell_options=(("projection_size", 3), ("forget_bias", 0.5)),
        hidden_size=6,
        layers=3,
        residual=True,
        embedding_size=4,
        dropout_input=0.1,
        dropout_hidden=0.2,
        dropout_output=0.3,
        dropout_locked=True,
        init_scale=0.05,
        remat_chunk="sqrt",
        dtype="bfloat16",
    )
    model = build_model(config, 11)
    assert isinstance(model.cell, Stack)
    assert model.cell.residual
    assert len(model.cell.layers) == 3
    (layer,) = set(model.cell.layers)
    assert (layer.spec.hidden_size, layer.spec.output_size) == (6, 3)
    assert (layer.spec.dtype, layer.spec.param_dtype) == (jnp.dtype("bfloat16"), jnp.dtype("float32"))
    rates = model.dropout
    assert (rates.input, rates.hidden, rates.output, rates.locked) == (0.1, 0.2, 0.3, True)
    assert (model.vocab_size, model.embedding_size, model.init_scale) == (11, 4, 0.05)
    assert model.remat_chunk == "sqrt"
    assert build_model(config, 11) == model  # no second compilation


def test_one_layer_is_no_stack():
    model = build_model(ModelConfig(cell="gru", hidden_size=3), 5)
    assert model.cell.spec.kind == "gru"
    assert not isinstance(model.cell, Stack)


def test_float64_needs_x64():
    config = ModelConfig(cell="elman-tanh", hidden_size=3, dtype="float64", param_dtype="float64")
    params = jax.eval_shape(build_model(config, 5).init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float64")}
    with jax.enable_x64(False), pytest.raises(UserError, match="float64 needs JAX_ENABLE_X64=1"):
        build_model(config, 5)


def test_a_new_run_is_complete_once_its_configuration_is_there(tmp_path, monkeypatch):
    folder, config = RunFolder(tmp_path / "a" / "run"), replace(Config(), model={"layers": 2})
    written = []
    monkeypatch.setattr(runs, "write_text", lambda path, text: (written.append(path), write_text(path, text)))
    assert not folder.exists()
    write_new_run(folder, config, vocabulary())
    assert folder.vocabulary.exists()
    assert written == [folder.config]
    assert read_config(folder) == config


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"perplexity": 3.5})
    before = path.read_text()
    with pytest.raises(TypeError):
        write_json(path, {"perplexity": np.float32(3.5)})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half of it \ud800")
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
