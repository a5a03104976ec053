"""Runs whose text stays on disk: equal to runs in memory, resumable anywhere, and what they refuse."""

import dataclasses
import json
import time

import jax
import pytest

pytest.importorskip("grain")

from rnnlm_jax import UserError
from rnnlm_jax.cli.main import main
from rnnlm_jax.config import fixed_options_digest, replace
from rnnlm_jax.data import build_vocabulary, load_corpus
from rnnlm_jax.data.records import batch_blocks
from rnnlm_jax.jobs.run_folder import RunFolder, read_config_and_identity, write_config
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.train import train
from tests.cli.conftest import one_line
from tests.tiny_records import NAME, prepare
from tests.training.tiny import assert_same_bits, assert_same_run, last_checkpoint, records, tiny_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data set, and a vocabulary beside it."""
    folder = prepare(tmp_path_factory.mktemp("records"))
    build_vocabulary(load_corpus(NAME, data_dir=folder).lines("train")).save(folder / "vocabulary.json")
    return folder


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory, monkeypatch):
    """A cache that all tests share, small blocks, and float32."""
    unavailable()  # load the kernels from the usual cache first
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path_factory.getbasetemp() / "records_cache"))
    monkeypatch.setattr(batch_blocks, "_STEPS", 20)
    monkeypatch.setattr(batch_blocks, "_SENTENCES", 10)
    with jax.enable_x64(False):
        yield


def experiment(data, batching="stream", workers=0, **training):
    return tiny_config(
        NAME,
        data={
            "corpus": NAME,
            "data_dir": str(data),
            "vocabulary": str(data / "vocabulary.json"),
            "batching": batching,
            "batch_size": 4,
            "bptt": 7,
            "input_workers": workers,
        },
        model={"cell": "elman-tanh", "hidden_size": 8, "init_scale": 0.3, "dropout_output": 0.2},
        training={"epochs": 2, "log_every": 1, "checkpoint_every": 1000} | training,
    )


@pytest.fixture(scope="module", params=["stream", "sentences"])
def whole(request, data, tmp_path_factory):
    """The batching, and a run whose text is in memory."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with jax.enable_x64(False):
        train(experiment(data, request.param, None), run)
    return request.param, run


class Stop(Exception):
    pass


def stopped_after(step, config, run, monkeypatch):
    """Train until an exception ends the run after a step."""
    write = Trainer._write

    def stop(trainer, record):
        write(trainer, record)
        if record["step"] == step:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Trainer, "_write", stop)
        train(config, run)


def test_text_on_disk_gives_the_run_of_text_in_memory_interrupted_or_not(data, whole, tmp_path, monkeypatch):
    batching, in_memory = whole
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    results = train(experiment(data, batching), straight)
    assert_same_bits(last_checkpoint(straight)[0], last_checkpoint(in_memory)[0])
    assert records(straight) == records(in_memory)
    assert all("input_wait" in record for record in read(straight))
    theirs = json.loads(RunFolder(in_memory).results.read_text())
    assert results.test.perplexity == theirs["test_perplexity"]
    assert results.baselines == {"unigram": theirs["baselines"]["unigram"]}
    stopped_after(7, experiment(data, batching, checkpoint_every=5), resumed, monkeypatch)  # in the middle of a block
    _, position = last_checkpoint(resumed)
    assert (position.epoch, position.batch) == (0, 5)
    # the number of workers may change
    train(experiment(data, batching, 1 if batching == "stream" else 0), resumed, resume=True)
    assert_same_run(resumed, straight)


def read(run):
    return [json.loads(line) for line in RunFolder(run).metrics.read_text().splitlines()]


def test_a_slow_input_pipeline_shows_in_the_metrics(data, tmp_path, monkeypatch):
    make = batch_blocks.StreamBlocks.block
    monkeypatch.setattr(batch_blocks.StreamBlocks, "block", lambda *given: time.sleep(0.5) or make(*given))
    monkeypatch.setattr(batch_blocks, "_STEPS", 500)
    train(experiment(data, epochs=1), tmp_path / "run")
    first = read(tmp_path / "run")[0]
    assert first["input_wait"] * first["step_ms_p50"] > 400  # of the first block at least, before any step


def test_runs_that_cannot_be_resumed_are_refused_in_one_line(data, tmp_path, monkeypatch):
    run, config = tmp_path / "run", experiment(data)
    stopped_after(7, experiment(data, checkpoint_every=5), run, monkeypatch)

    def refused(config, match):
        with pytest.raises(UserError, match=match) as raised:
            train(config, run, resume=True)
        assert "\n" not in str(raised.value)

    refused(replace(config, data={"batch_size": 5}), "cannot resume with `batch_size` 5: the run was begun with 4")
    refused(replace(config, training={"seed": 9}), "cannot resume with `seed` 9: the run was begun with 0")
    refused(replace(config, data={"input_workers": None}), "cannot resume with `input_workers` none: .* on disk")
    # A configuration that was edited and has a new digest.
    whole, (_, identity) = RunFolder(run).config.read_text(), read_config_and_identity(RunFolder(run))
    for group, name, value in (("training", "seed", 9), ("data", "bptt", 8)):
        edited = replace(config, **{group: {name: value}})
        write_config(RunFolder(run), edited, identity)
        refused(edited, "config.json has other options than the run was begun with: restore it")
        write_config(RunFolder(run), edited, dataclasses.replace(identity, options=fixed_options_digest(edited)))
        refused(edited, r"the checkpoint .*5 was written with other options than the run's config.json says")
    RunFolder(run).config.write_text(whole)
    monkeypatch.setattr("rnnlm_jax.data.records.record_text.RecordText.digest", "another")
    refused(config, "the training text of tfds:tiny_records is not the one")


def test_runs_that_cannot_begin_are_refused_in_one_line(data, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "--data", NAME, "--data-dir", str(data), "--run", str(run)]
    vocabulary = ["--vocabulary", str(data / "vocabulary.json")]
    for more, message in (
        (["--input-workers", "0"], "needs a "),
        (["--input-workers", "-1", *vocabulary], " must be 0 or more, not -1"),
        (["--input-workers", "9999", *vocabulary], " must be from 0 to 256, not 9999"),
        (["--input-workers", "0", *vocabulary, "--data", "pydoc"], "pydoc"),
    ):
        assert main([*words, *more]) == 2
        assert message in one_line(capsys.readouterr().err)
        assert not run.exists()
