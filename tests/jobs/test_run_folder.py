"""Run folders: building models, writing and reading files; and the package's own example."""

import dataclasses
import doctest
import errno
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnnlm_jax
from rnnlm_jax import UserError
from rnnlm_jax.cells.cell_registry import CELLS
from rnnlm_jax.cells.combinators import Stack
from rnnlm_jax.cli.error_messages import describe
from rnnlm_jax.config import Config, ModelConfig, from_json, replace, to_json
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import (
    START,
    RunFolder,
    build_model,
    checkpoint_steps,
    open_run,
    read_config,
    read_config_and_identity,
    write_config,
    write_json,
    write_new_run,
    write_run,
    write_text,
)
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.outputs.softmax import SoftmaxParams
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.system.atomic_write import atomic_write
from rnnlm_jax.training.train_state import initial_train_state
from tests.training.tiny import assert_same_bits, identity_of, random_params, vocabulary

COUNTS = WordCounts(list("abcdefghijk"), range(11, 0, -1))


def test_the_packages_example_runs():
    results = doctest.testmod(rnnlm_jax)
    assert results.attempted >= 6
    assert results.failed == 0


def test_a_model_has_the_settings_of_its_configuration():
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
    assert build_model(config, 11) == model  # equal models share their compiled programs


def test_one_layer_is_not_a_stack():
    model = build_model(ModelConfig(cell="gru", hidden_size=3), 5)
    assert model.cell.spec.kind == "gru"
    assert not isinstance(model.cell, Stack)


def test_float64_needs_x64():
    config = ModelConfig(cell="elman-tanh", hidden_size=3, dtype="float64", param_dtype="float64")
    params = jax.eval_shape(build_model(config, 5).init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float64")}
    with jax.enable_x64(False), pytest.raises(ConfigError, match="float64 needs JAX_ENABLE_X64=1"):
        build_model(config, 5)


def test_the_configuration_of_a_new_run_is_written_last(tmp_path, monkeypatch):
    folder, config = RunFolder(tmp_path / "a" / "run"), replace(Config(), model={"layers": 2})
    written = []
    monkeypatch.setattr(write_run, "write_text", lambda path, text: (written.append(path), write_text(path, text)))
    assert not folder.exists()
    write_new_run(folder, config, identity_of(config, vocabulary()), vocabulary=vocabulary())
    assert folder.vocabulary.exists()
    assert written == [folder.config]
    assert read_config(folder) == config


def test_files_are_written_completely_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"perplexity": 3.5})
    before = path.read_text()
    with pytest.raises(TypeError):
        write_json(path, {"perplexity": np.float32(3.5)})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half of it \ud800")
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("named", ["nothing", "temporary"])
def test_a_write_error_names_the_file(tmp_path, named):
    """On a full disk the error names no file; without permission, the temporary file."""
    path = tmp_path / "results.json"
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(path) as temporary:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([str(temporary)] if named == "temporary" else []))
    assert describe(caught.value)[1].startswith(f"{path}: No space left on device; check")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def kept(tmp_path):
    """A run with checkpoints of three steps, of which the newest two and the best, the oldest, are kept; parameters."""
    folder, words = RunFolder(tmp_path / "run"), vocabulary()
    config = replace(Config(), model={"cell": "elman-tanh", "hidden_size": 3, "init_scale": 0.3}, training={"seed": 7})
    identity = identity_of(config, words)
    write_new_run(folder, config, identity, vocabulary=words)
    model = build_model(config.model, words.size)
    saved = {step: random_params(model, seed=step) for step in (5, 9, 12)}
    newest, best = CheckpointFolder(folder.checkpoints("last"), keep=2), CheckpointFolder(folder.checkpoints("best"))
    for step, params in saved.items():
        position = dataclasses.replace(START, step=step)
        newest.save({"params": params}, position, identity)
        if step == 5:
            best.save({"params": params}, position, identity)
    return folder, saved


def test_kept_checkpoints_can_be_opened(kept):
    folder, saved = kept
    assert checkpoint_steps(folder.path) == [9, 12]
    assert checkpoint_steps(folder.path, "best") == [5]
    for words, step in (((), 5), (("best",), 5), (("last",), 12), (("last", 9), 9), (("last", 12), 12)):
        run = open_run(folder.path, *words)
        assert run.position.step == step
        assert_same_bits(run.params, saved[step])
    with pytest.raises(UserError, match="5"):
        open_run(folder.path, "last", 5)  # deleted


def test_a_smaller_number_to_keep_applies_from_the_next_checkpoint_on(kept):
    folder, saved = kept
    newest = CheckpointFolder(folder.checkpoints("last"), keep=1)
    newest.save({"params": saved[12]}, dataclasses.replace(START, step=20), read_config_and_identity(folder)[1])
    assert checkpoint_steps(folder.path) == [20]


def test_initial_parameters_depend_on_the_seed_alone_and_need_no_checkpoint(kept):
    folder, _ = kept
    shutil.rmtree(folder.path / "checkpoints")
    run = open_run(folder.path, "init")
    assert run.position == START
    assert run.position.step == 0
    begun = initial_train_state(run.model, optax.sgd(0.1), 2, seed=7)
    assert_same_bits(run.params, begun.params)
    config = replace(run.config, training={"seed": 8})
    write_config(folder, config, identity_of(config, run.vocabulary))
    other = open_run(folder.path, "init").params
    assert not np.array_equal(other.embedding, run.params.embedding)
    for which in ("best", "last"):
        with pytest.raises(UserError, match="holds no checkpoint yet"):
            open_run(folder.path, which)
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        checkpoint_steps(folder.path)


def test_the_highest_layer_may_have_units_of_its_own():
    config = ModelConfig(hidden_size=6, last_hidden_size=4, layers=3, tie_embeddings=True, embedding_size=4)
    model = build_model(config, 11)
    assert isinstance(model.cell, Stack)
    assert [layer.spec.hidden_size for layer in model.cell.layers] == [6, 6, 4]
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert params.cell[2].w_x.shape == (6, 16)
    assert isinstance(params.output, SoftmaxParams)  # the embedding has the width of the output: no projection
    same = build_model(dataclasses.replace(config, last_hidden_size=6), 11)
    assert same.cell == build_model(dataclasses.replace(config, last_hidden_size=None), 11).cell
    for changes, message in (
        ({"layers": 1}, "`last_hidden_size` is of the highest of several layers, and `layers` is 1: leave it out"),
        ({"residual": True}, r"residual layers must have one output size, not \[6, 6, 4\]"),
        ({"sum_outputs": True}, "summed layers must have one output size"),
        ({"cell": "none", "output": "maxent", "tie_embeddings": False}, "leave `last_hidden_size` out"),
    ):
        with pytest.raises(UserError, match=message):
            build_model(dataclasses.replace(config, **changes), 11, words=COUNTS)


def test_a_configuration_written_before_the_option_has_layers_of_one_size():
    written = json.loads(to_json(Config()))
    for name in ("last_hidden_size", "sum_outputs"):
        del written["model"][name]
    del written["data"]["state_reset_probability"]
    assert from_json(json.dumps(written)) == Config()
    assert Config().model.last_hidden_size is None
    assert not Config().model.sum_outputs
    assert Config().data.state_reset_probability == 0


@pytest.mark.parametrize("cell", CELLS)
def test_models_can_be_built_under_strict_promotion(cell):
    """Users may set it for a whole program; its errors must not be reported as errors of the cell's options."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        assert build_model(ModelConfig(cell=cell, hidden_size=8, layers=2, residual=True), 11).vocab_size == 11


def test_an_error_in_tracing_is_raised_as_it_is(monkeypatch):
    def fails(self, *arguments):
        raise ValueError("something else altogether")

    monkeypatch.setattr(LanguageModel, "token_nll", fails)
    with pytest.raises(ValueError, match="^something else altogether"):
        build_model(ModelConfig(cell="gru", hidden_size=8), 11)
