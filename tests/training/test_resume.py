"""A run that is interrupted, in any way, and resumed gives the same numbers as an uninterrupted one."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import jax
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import replace, to_json
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder, read_config
from rnnlm_jax.training.loop import Trainer
from rnnlm_jax.training.train import train
from tests.training.tiny import PROGRAM, assert_same_bits, assert_same_run, last_checkpoint, records, tiny_config

BATCHING = ["stream", "sentences"]
EPOCHS = 3


def experiment(corpus, batching, **training):
    """Return a configuration with Adam and dropout, a checkpoint every three steps, and metrics of each."""
    return tiny_config(
        corpus,
        data={"batching": batching, "batch_size": 2, "bptt": 10},
        model={"dropout_input": 0.2, "dropout_output": 0.2},
        training={"epochs": EPOCHS, "log_every": 1, "checkpoint_every": 3} | training,
    )


@pytest.fixture(autouse=True)
def _narrow_types():
    """Use float32, as users do."""
    with jax.enable_x64(False):
        yield


@pytest.fixture(scope="module", params=BATCHING)
def uninterrupted(request, corpus, tmp_path_factory):
    """An uninterrupted run, with checkpoints at the ends of epochs only."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with jax.enable_x64(False):
        train(experiment(corpus, request.param, checkpoint_every=1000), run)
    return request.param, run


class Stop(Exception):
    pass


def resume(corpus, batching, run):
    return train(experiment(corpus, batching, checkpoint_every=1000), run, resume=True)


def test_a_run_killed_at_a_random_step_resumes(corpus, uninterrupted, tmp_path):
    batching, whole = uninterrupted
    during_a_save = batching == "stream"  # otherwise between two
    run = tmp_path / "run"
    (tmp_path / "config.json").write_text(to_json(experiment(corpus, batching)))
    (tmp_path / "config.py").write_text(
        "from pathlib import Path\nfrom rnnlm_jax.config import from_json\n"
        "get_config = lambda: from_json((Path(__file__).parent / 'config.json').read_text())\n"
    )
    steps = json.loads((whole / "results.json").read_text())["steps"]
    target = random.randrange(3, steps - 6)
    print(f"to be killed at step {target} of {steps}")  # shown when the test fails
    command = [*PROGRAM, "train", str(tmp_path / "config.py"), "--run", str(run)]
    last = RunFolder(run).checkpoints("last")
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            names = [entry.name for entry in os.scandir(last)] if last.is_dir() else []
            done = [name for name in names if name.isdigit() != during_a_save and int(name.split(".")[0]) >= target]
            if done:
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        errors = process.stderr.read().decode()
        assert process.wait() == -signal.SIGKILL, errors
    assert not RunFolder(run).results.exists()
    at = max(CheckpointFolder(last).steps(), default=0)  # killed during the first save: it starts again
    assert target - 3 <= at < steps
    resume(corpus, batching, run)
    assert_same_run(run, whole)
    steps_written = [record["step"] for record in records(run) if record["kind"] == "step"]
    assert steps_written == list(range(1, steps + 1))


@pytest.mark.parametrize("after", [2, 13])  # before the first checkpoint, and later
def test_a_run_stopped_by_an_exception_resumes(corpus, uninterrupted, tmp_path, monkeypatch, after):
    batching, whole = uninterrupted
    run, write = tmp_path / "run", Trainer._write

    def stop(trainer, record):
        write(trainer, record)
        if record["step"] == after:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Trainer, "_write", stop)
        train(experiment(corpus, batching, checkpoint_every=6), run)
    resume(corpus, batching, run)
    assert_same_run(run, whole)


@pytest.mark.parametrize("uninterrupted", ["stream"], indirect=True)
def test_a_run_stopped_at_the_end_of_each_epoch_resumes(corpus, uninterrupted, tmp_path):
    batching, whole = uninterrupted
    run = tmp_path / "run"

    def stop(report):
        raise Stop

    for epoch in range(EPOCHS):
        with pytest.raises(Stop):
            train(experiment(corpus, batching), run, resume=epoch > 0, report=stop)
        _, position = last_checkpoint(run)
        assert (position.epoch, position.batch, position.tokens) == (epoch + 1, 0, 0)
    resume(corpus, batching, run)
    assert_same_run(run, whole)


@pytest.mark.parametrize("uninterrupted", ["stream"], indirect=True)
def test_a_run_stopped_between_the_two_checkpoints_of_an_epoch_resumes(corpus, uninterrupted, tmp_path, monkeypatch):
    batching, whole = uninterrupted
    run, save = tmp_path / "run", CheckpointFolder.save

    def stop(folder, *arguments, **options):
        if folder.folder.name == "last" and CheckpointFolder(RunFolder(run).checkpoints("best")).steps():
            raise Stop
        save(folder, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(CheckpointFolder, "save", stop)
        train(experiment(corpus, batching), run)
    resume(corpus, batching, run)
    assert_same_run(run, whole)
    assert_same_bits(last_checkpoint(run)[0].params, last_checkpoint(whole)[0].params)


def test_resuming_a_finished_run_only_measures_it_again(corpus, uninterrupted, tmp_path):
    batching, whole = uninterrupted
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    RunFolder(run).results.unlink()
    results = resume(corpus, batching, run)
    assert_same_run(run, whole)
    written = json.loads(RunFolder(whole).results.read_text())
    assert results.test.perplexity == written["test_perplexity"]
    assert results.steps == written["steps"]


@pytest.mark.parametrize("uninterrupted", ["sentences"], indirect=True)
def test_a_finished_run_can_be_resumed_with_more_epochs(corpus, uninterrupted, tmp_path):
    batching, whole = uninterrupted
    run = tmp_path / "run"
    train(experiment(corpus, batching, epochs=1), run)
    resume(corpus, batching, run)
    assert_same_run(run, whole)
    assert read_config(RunFolder(run)).training.epochs == EPOCHS


@pytest.mark.parametrize(
    "changes",
    [{"data": {"bptt": 11}}, {"model": {"hidden_size": 9}}, {"optimizer": {"learning_rate": 1.0}}],
    ids=["bptt", "hidden_size", "learning_rate"],
)
def test_options_that_change_the_numbers_are_refused(corpus, uninterrupted, changes, request):
    batching, whole = uninterrupted
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    name = next(name for name in ("bptt", "hidden_size", "learning_rate") if name in request.node.name)
    with pytest.raises(UserError, match=f"cannot resume with `{name}`"):
        train(replace(experiment(corpus, batching), **changes), whole, resume=True)
    assert before == {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}


def test_an_edited_training_text_is_refused(corpus, tmp_path):
    copy, run = tmp_path / "text.txt", tmp_path / "run"
    shutil.copy(corpus, copy)
    train(experiment(copy, "stream", epochs=1), run)
    first, second, *rest = copy.read_text().split("\n")
    copy.write_text("\n".join([second, first, *rest]))  # the same words, so the same vocabulary
    with pytest.raises(UserError, match="the training text of .* is not the one"):
        train(experiment(copy, "stream", epochs=2), run, resume=True)
