"""Starting from other parameters: copied whole, by word, in part; what does not fit is named."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.config import ModelConfig, replace
from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.errors import CheckpointError, ConfigError
from rnnlm_jax.interop.exporting import save_safetensors
from rnnlm_jax.interop.weights import write_safetensors
from rnnlm_jax.jobs.checkpoints.array_digests import named_leaves
from rnnlm_jax.jobs.run_folder import (
    RunFolder,
    build_model,
    initial_params,
    open_run,
    read_config,
    read_config_and_identity,
)
from rnnlm_jax.jobs.sharding.mesh import make_mesh
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.training.initial_source import InitialSource, read_source
from rnnlm_jax.training.initialize_from import common_words, initialize_from, plan_initialization
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.train import train
from rnnlm_jax.training.train_state import initial_train_state
from tests.training.tiny import TINY, assert_same_bits, assert_same_run, random_params, tiny_config, vocabulary

HERE, THERE = vocabulary(["the cat sat on the mat"]), vocabulary(["a cat on the old mat and the dog"])


@pytest.fixture(scope="module")
def source_run(corpus, tmp_path_factory):
    """A trained run, in its folder and in a safetensors file."""
    path = tmp_path_factory.mktemp("source")
    train(tiny_config(corpus, training={"epochs": 1, "seed": 5}), path / "run")
    save_safetensors(open_run(path / "run"), path / "run.safetensors")
    return path / "run"


def model_of(vocabulary, **options):
    config = ModelConfig(**{"cell": "elman-tanh", "hidden_size": 4, "embedding_size": 3} | options)
    return build_model(config, vocabulary.size, words=counts(vocabulary))


def counts(vocabulary):
    return WordCounts(vocabulary.tokens, range(vocabulary.size, 0, -1))


def source_of(model, vocabulary=None, **about):
    arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(random_params(model, seed=1)).items()}
    about = {"model": model, "words": None if vocabulary is None else counts(vocabulary)} | about
    return InitialSource("runs/a", arrays, "digest", vocabulary=vocabulary, **about)


def plan(model, source, parts=None, vocabulary=HERE):
    return plan_initialization(model, vocabulary, counts(vocabulary), source=source, parts=parts)


def test_rows_of_common_words_are_copied_and_new_words_stay_fresh():
    """In embedding ``[V, D]``, output matrix ``[H, V]`` and its bias; all else as it is there."""
    here, there = model_of(HERE), model_of(THERE)
    source = source_of(there, THERE)
    planned = plan(here, source)
    fresh = named_leaves(random_params(here, seed=2))
    found = named_leaves(planned.apply(random_params(here, seed=2), planned.arrays))
    assert (HERE.unk, HERE.eos) == (THERE.unk, THERE.eos)
    words = {word: THERE.index[word] for word in ("the", "cat", "on", "mat", HERE.unk, HERE.eos) if word is not None}
    for name, axis in (("embedding", 0), ("output.w", 1), ("output.b", 0)):
        mine, theirs, start = (np.moveaxis(np.asarray(t[name]), axis, 0) for t in (found, source.arrays, fresh))
        for word in HERE.tokens:
            expected = theirs[words[word]] if word in words else start[HERE.index[word]]
            np.testing.assert_array_equal(mine[HERE.index[word]], expected)
    for name in ("cell.w_x", "cell.w_h", "cell.b"):
        np.testing.assert_array_equal(found[name], source.arrays[name])
    assert planned.record()["words"] == {"found": len(words), "of": HERE.size}
    assert f"{len(words)} of {HERE.size} words found there, {HERE.size - len(words)} start fresh" in planned.describe()


def test_the_tokens_for_unknown_words_correspond_however_they_are_spelt():
    other = build_vocabulary(["the cat"], "word")
    spelt = type(other)("word", tuple({other.unk: "UNK"}.get(token, token) for token in other.tokens), "UNK", other.eos)
    rows = common_words(HERE, spelt)
    assert (HERE.index[HERE.unk], spelt.index["UNK"]) in list(zip(rows.here.tolist(), rows.there.tolist(), strict=True))
    assert len(rows.here) == 4


def test_it_is_pure_converts_dtypes_and_may_be_compiled():
    params = {"a": jnp.zeros((2, 3), jnp.float64), "b": jnp.ones((2,), jnp.float32)}
    source = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    found = initialize_from(params, source)
    assert found["a"].dtype == jnp.float64
    np.testing.assert_array_equal(found["a"], source["a"])
    assert found["b"] is params["b"]
    assert not params["a"].any()
    assert_same_bits(jax.jit(initialize_from)(params, source), found)
    with pytest.raises(ConfigError, match="source has c, which this model does not have: it has a, b"):
        initialize_from(params, {"c": np.zeros(2)})


@pytest.mark.parametrize(
    ("options", "parts", "said"),
    [
        (
            {"hidden_size": 6},
            None,
            "runs/a does not fit this model: cell.w_x is 3x4 there, 3x6 here (and 3 more)",
        ),
        ({"hidden_size": 6}, "output.w", "output.w is 4x9 there, 6x9 here; choose"),
        (
            {"layers": 2},
            None,
            "does not have cell.0.w_x of this model: choose with `init_parts` of embedding, output.w",
        ),
        ({"tie_embeddings": True, "embedding_size": 4}, None, "has output.w, which this model does not have"),
        ({}, "cell,embeding", "`init_parts` 'embeding' matches no parameter: this model has embedding, cell.w_x"),
        (
            {"output": "nce", "output_options": (("num_samples", 2),)},
            "output",
            "has the output layer softmax, whose tables",
        ),
        ({"output": "class"}, "output.class_w", "does not have output.class_w"),
    ],
)
def test_what_does_not_fit_is_named(options, parts, said):
    model, source = model_of(HERE, **options), source_of(model_of(HERE), HERE)
    with pytest.raises(ConfigError) as error:
        plan(model, source, parts)
    assert said.replace("9", str(HERE.size)) in str(error.value)
    assert "\n" not in str(error.value)


def test_layers_without_a_row_for_each_word_need_the_same_vocabulary_and_counts():
    here, there = model_of(HERE, output="class"), model_of(THERE, output="class")
    with pytest.raises(ConfigError, match="has another vocabulary, and the output layer class does not have a row of"):
        plan(here, source_of(there, THERE))
    assert plan(here, source_of(there, THERE), "embedding,cell").rows is not None
    changed = source_of(model_of(HERE), HERE)._replace(words=WordCounts(HERE.tokens, [1] * HERE.size))
    flat = build_model(
        ModelConfig(cell="elman-tanh", hidden_size=4, embedding_size=3, output="class"), HERE.size, words=changed.words
    )
    other = source_of(flat, HERE)._replace(words=changed.words)
    with pytest.raises(ConfigError, match="has other word counts, and the output layer class"):
        plan(here, other)
    assert plan(here, source_of(here, HERE)).rows is None


def test_levels_and_missing_vocabularies_are_refused():
    model = model_of(HERE)
    letters = build_vocabulary(["the cat sat"], "char")
    with pytest.raises(ConfigError, match="reads char level, .*, and this run word level, .*: leave embedding and"):
        plan(model, source_of(model_of(letters), letters))
    bare = source_of(model)._replace(model=None)
    with pytest.raises(ConfigError, match="does not have the vocabulary that its tables are of: .*init_parts"):
        plan(model, bare)
    assert list(plan(model, bare, "cell").arrays) == ["cell.w_x", "cell.w_h", "cell.b"]
    with pytest.raises(ConfigError, match="has no word of this vocabulary"):
        none = type(HERE)("word", ("x", "y"), None, None)
        plan(model_of(none), source_of(model_of(HERE), HERE), vocabulary=none)


def test_files_are_read_as_the_run_that_they_are_of(source_run, tmp_path):
    run, file = read_source(source_run), read_source(source_run.with_suffix(".safetensors"))
    assert run.digest == file.digest
    assert (run.run_id, run.step, run.vocabulary) == (file.run_id, file.step, file.vocabulary)
    write_safetensors(tmp_path / "bare.safetensors", run.arrays)
    bare = read_source(tmp_path / "bare.safetensors")
    assert (bare.digest, bare.vocabulary) == (run.digest, None)
    write_safetensors(tmp_path / "nan.safetensors", {"a": np.array([np.nan])})
    with pytest.raises(CheckpointError, match="not finite"):
        read_source(tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match="holds no run"):
        read_source(tmp_path)


def test_a_run_starts_from_another_and_resumes_without_it(corpus, source_run, tmp_path, monkeypatch, capsys):
    """Also when it is stopped before its first checkpoint; the path may change, the parameters must not."""
    config = tiny_config(corpus, training={"init_from": str(source_run), "init_parts": "embedding,cell", "epochs": 2})
    config = replace(config, training={"checkpoint_every": 3, "log_every": 1})
    run, started = tmp_path / "run", []

    def keep(trainer):
        started.append(named_leaves(jax.tree.map(np.asarray, trainer.state.params)))

    train(config, tmp_path / "whole", start=keep)
    best = named_leaves(open_run(source_run).params)
    drawn = named_leaves(initial_params(open_run(source_run).model, config.training.seed))
    for name, array in started[0].items():
        assert_same_bits(array, np.asarray((drawn if name.startswith("output") else best)[name]))
    written = json.loads(RunFolder(tmp_path / "whole").initialized.read_text())
    assert written["copied"] == ["embedding", "cell.w_x", "cell.w_h", "cell.b"]
    assert written["fresh"] == ["output.w", "output.b"]
    recorded, identity = read_config_and_identity(RunFolder(tmp_path / "whole"))
    assert identity.init == written["sha256"] == read_source(source_run).digest
    assert recorded.training.init_from == str(source_run)
    with pytest.raises(CheckpointError, match="did not start from parameters that its seed draws"):
        open_run(tmp_path / "whole", "init")

    write = Trainer._write
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_write", lambda trainer, record: stop_at(write, trainer, record, 2))
        train(config, run)
    moved = replace(config, training={"init_from": str(source_run.with_suffix(".safetensors"))})
    train(moved, run, resume=True)
    assert_same_run(run, tmp_path / "whole")
    with pytest.raises(ConfigError, match="cannot resume with `init_from` .*whole: the run was begun with those of"):
        train(replace(config, training={"init_from": str(tmp_path / "whole")}), run, resume=True)
    capsys.readouterr()


def stop_at(write, trainer, record, step):
    write(trainer, record)
    if record["step"] == step:
        raise KeyboardInterrupt


def test_each_device_of_a_mesh_gets_the_same_parameters():
    model, rule = model_of(HERE), optax.adam(0.1)
    planned = plan(model, source_of(model_of(THERE), THERE))
    mesh = make_mesh("data=1")
    plain, placed = (initial_train_state(model, rule, 2, mesh=m, start=planned) for m in (None, mesh))
    for one, other in zip(jax.tree.leaves(plain.params), jax.tree.leaves(placed.params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)  # fresh numbers of a compiled program differ in the last bit
    assert_same_bits(np.asarray(placed.params.cell.w_h), planned.arrays["cell.w_h"])
    assert jax.tree.leaves(placed.params)[0].sharding.mesh.shape == mesh.shape


def test_the_command_says_what_it_takes_and_refuses_in_one_line(corpus, source_run, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text(corpus.read_text().replace("dog", "fox"))
    tiny = [option for option in TINY if not option.startswith("--hidden-size")]
    options = ["--data", str(text), *tiny, "--init-from", str(source_run)]
    assert main(["train", "--run", str(tmp_path / "run"), *options, "--hidden-size=8"]) == 0
    said = capsys.readouterr().out
    assert f"initial parameters from {source_run} (step " in said
    size = read_source(tmp_path / "run").vocabulary.size
    assert f"; {size - 1} of {size} words found there, 1 start fresh" in said
    assert "% in steps (goodput)" in said
    assert read_config(RunFolder(tmp_path / "run")).training.init_from == str(source_run)
    for extra, wrong in (
        (["--hidden-size=5"], "embedding is "),
        (["--hidden-size=8", "--init-parts=cel"], "--init-parts 'cel' matches no parameter"),
        (["--hidden-size=8", "--init-from", str(tmp_path)], "holds no run"),
        (["--init-from=none", "--init-parts=cell"], "--init-parts chooses parameters of --init-from: give both"),
    ):
        assert main(["train", "--run", str(tmp_path / "bad"), *options, *extra]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert wrong in line
        assert not (tmp_path / "bad").exists()
