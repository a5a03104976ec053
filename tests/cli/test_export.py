"""``rnnlm-jax export`` and ``rnnlm-jax import``, and their errors."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rnnlm_jax.interop.exporting import load_safetensors
from rnnlm_jax.interop.torch_language_model import dump
from rnnlm_jax.jobs.run_folder import build_model, open_run
from tests.cli.conftest import everything, one_line
from tests.training.tiny import assert_same_bits, random_params, tiny_config


def last_line(outcome):
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    """The trained run as one file."""
    from rnnlm_jax.cli.main import main

    path = tmp_path_factory.mktemp("saved") / "run.safetensors"
    assert main(["export", str(trained), "--format", "safetensors", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def back(saved, tmp_path_factory):
    """The imported run, which tests may read but not write."""
    from rnnlm_jax.cli.main import main

    run = tmp_path_factory.mktemp("imported") / "run"
    assert main(["import", str(saved), "--run", str(run)]) == 0
    return run


def test_a_folder_for_jax_alone(trained, corpus, tmp_path, rnnlm, refuse):
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is as good as none
    figures = last_line(rnnlm("export", trained, "--out", out, "--platforms", "cpu, tpu", "--json"))
    assert figures["platforms"] == ["cpu", "tpu"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["platforms"], manifest["checkpoint_step"]) == (["cpu", "tpu"], figures["step"])
    assert manifest["run_id"] == open_run(trained).identity.run_id
    assert load_safetensors(out / "model.safetensors").identity == open_run(trained).identity
    before = everything(out)
    refuse("export", trained, "--out", out, saying="is not empty: choose another one")
    assert everything(out) == before
    assert_same_bits(load_safetensors(out / "model.safetensors").params, open_run(trained).params)


def test_an_imported_run_has_an_identity_of_its_own(trained, back, tmp_path, refuse):
    """It has the same texts as the first run; files copied between the two are detected."""
    was, now = (open_run(path).identity for path in (trained, back))
    assert now.run_id != was.run_id
    assert (now.options, now.vocabulary, now.counts, now.texts) == (was.options, was.vocabulary, was.counts, was.texts)
    assert json.loads((back / "imported.json").read_text())["run_id"] == was.run_id
    mixed = shutil.copytree(back, tmp_path / "mixed")
    shutil.copy(trained / "config.json", mixed)
    refuse("sample", mixed, saying="is of another run")


def test_an_imported_run_is_a_run(trained, back, corpus, rnnlm):
    for which in ("best", "last"):
        assert_same_bits(open_run(back, which).params, open_run(trained).params)
    words = ["--data", corpus, "--json"]
    assert last_line(rnnlm("eval", back, *words))["nats"] == last_line(rnnlm("eval", trained, *words))["nats"]
    assert rnnlm("sample", back, "--seed", "3").out == rnnlm("sample", trained, "--seed", "3").out
    assert rnnlm("score", back, corpus).out == rnnlm("score", trained, corpus).out


def test_comparing_and_measuring_an_imported_run(back, corpus, tmp_path, rnnlm):
    shown = rnnlm("compare", back, "--data", corpus)
    assert shown.code == 0, shown
    assert "elman-tanh 8" in shown.out
    done = rnnlm("jacobians", back, "--data", corpus, "--lags", "1,2", "--out", tmp_path / "out")
    assert done.code == 0, done


def test_training_does_not_go_on_with_an_imported_run(back, refuse):
    before = everything(back)
    refuse("train", "--run", back, "--resume", saying="was imported, without the state of an optimiser")
    assert everything(back) == before


def test_files_that_cannot_be_imported_are_refused(trained, saved, back, corpus, tmp_path, refuse):
    new = tmp_path / "new"
    refuse("import", saved, "--run", back, saying="is not empty: choose another one")
    refuse("import", tmp_path / "nothing", "--run", new, saying="cannot find the safetensors file")
    refuse("import", trained, "--run", new, saying="is a directory")
    refuse("import", corpus, "--run", new, saying="safetensors")
    refuse("import", saved, "--run", new, "--vocabulary", corpus, saying="leave --vocabulary out")
    refuse("import", saved, "--run", new, "--kind", "LSTM", saying="leave --kind out")
    refuse("import", saved, saying="--run")
    save_file(load_file(saved), tmp_path / "bare.safetensors")
    bare = tmp_path / "bare.safetensors"
    refuse("import", bare, "--run", new, saying="add --vocabulary, a file with one word per line")
    (tmp_path / "words.txt").write_text("the\ncat\n")
    words = ["--run", new, "--vocabulary", tmp_path / "words.txt"]
    refuse("import", tmp_path / "bare.safetensors", *words, saying="bare.safetensors: this is not a state_dict")
    (tmp_path / "cut.safetensors").write_bytes(saved.read_bytes()[:-7])
    refuse("import", tmp_path / "cut.safetensors", "--run", new, saying="cut.safetensors")
    assert not new.exists()


def test_a_model_of_torch(corpus, tmp_path, rnnlm, refuse):
    words = ["<unk>", "<eos>", *dict.fromkeys(corpus.read_text().split())]
    config = tiny_config("text.txt", model={"cell": "elman-relu"}).model
    state_dict = dump(config, random_params(build_model(config, len(words))))
    save_file(state_dict, tmp_path / "model.safetensors")
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in words))
    command = ["import", tmp_path / "model.safetensors", "--run", tmp_path / "run"]
    save_file({**state_dict, "decoder.bias": state_dict["decoder.bias"] * np.nan}, tmp_path / "nan.safetensors")
    refuse(
        *("import", tmp_path / "nan.safetensors", "--run", tmp_path / "run", "--kind", "RNN_RELU"),
        *("--vocabulary", tmp_path / "words.txt"),
        saying="nan.safetensors are not finite (output.b)",
    )
    assert not (tmp_path / "run").exists()
    refuse(*command, "--vocabulary", tmp_path / "words.txt", saying="RNN_TANH")
    done = rnnlm(*command, "--vocabulary", tmp_path / "words.txt", "--kind", "RNN_RELU")
    assert done.code == 0, done
    figures = last_line(rnnlm("eval", tmp_path / "run", "--data", corpus, "--json"))
    assert (figures["oov"], figures["tokens"]) == (0, len(corpus.read_text().split()) + 40)
    # ... and on from there.
    out = tmp_path / "again.safetensors"
    assert rnnlm("export", tmp_path / "run", "--format", "safetensors", "--out", out).code == 0


def test_impossible_exports_are_refused(trained, tmp_path, refuse):
    out = tmp_path / "out"
    refuse("export", trained, "--out", out, "--platforms", "cpu,abacus", saying="not 'abacus'")
    refuse("export", trained, "--out", out, "--platforms", "", saying="--platforms must be some of cpu")
    refuse("export", trained, "--out", out, "--format", "onnx", saying="invalid choice")
    flags = ["--format", "safetensors", "--platforms", "cpu"]
    refuse("export", trained, "--out", out, *flags, saying="leave it out")
    refuse("export", trained, "--out", tmp_path, "--format", "safetensors", saying="is a folder")
    refuse("export", tmp_path / "nothing", "--out", out, saying="holds no run")
    refuse("export", trained, saying="--out")
    (tmp_path / "file").write_text("mine")
    refuse("export", trained, "--out", tmp_path / "file", saying="is not a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


#: Files may grow to so many bytes: enough for a configuration, too few for parameters.
LIMITED = """
import resource, sys
from rnnlm_jax.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
main.run()
"""


@pytest.mark.parametrize("command", ["export", "import"])
def test_a_disk_that_is_full(trained, saved, tmp_path, command):
    words = ["export", trained, "--out"] if command == "export" else ["import", saved, "--run"]
    words = [*map(str, words), str(tmp_path / "out"), "--compilation-cache", "off"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}
    done = subprocess.run([sys.executable, "-c", LIMITED, *words], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 2, done.stderr
    message = one_line(done.stderr.decode())
    assert "File too large" in message or "cannot save the checkpoint" in message
    assert list(tmp_path.iterdir()) == []
