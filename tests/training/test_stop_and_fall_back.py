"""Runs that are stopped on request, or whose newest checkpoint is damaged, give the same numbers when resumed."""

import json
import shutil

import jax
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.evaluation import perplexity as evaluation
from rnnlm_jax.jobs.checkpoints import CheckpointFolder
from rnnlm_jax.jobs.run_folder import RunFolder, open_run
from rnnlm_jax.jobs.stopping import Stopped, StopRequest
from rnnlm_jax.training.train import train
from tests.training.tiny import assert_same_run, records, tiny_config

EPOCHS = 2


def experiment(corpus, **training):
    """Return a configuration with metrics every second step, so that checkpoints are between two lines."""
    return tiny_config(
        corpus,
        model={"dropout_output": 0.2},
        training={"epochs": EPOCHS, "log_every": 2, "checkpoint_every": 3} | training,
    )


@pytest.fixture(autouse=True)
def _narrow_types():
    with jax.enable_x64(False):
        yield


@pytest.fixture(scope="module", autouse=True)
def _small_windows():
    """Evaluate in windows of 2 steps, so that a run can be stopped between two of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "steps_per_call", lambda model, streams: 2)
        yield


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    with jax.enable_x64(False):
        train(experiment(corpus), run)
    return run


@pytest.fixture
def run(whole, tmp_path):
    """A copy of the run, which may be damaged."""
    return shutil.copytree(whole, tmp_path / "run")


class RequestAt(StopRequest):
    """A request to stop that is made before a step, or at a check during an evaluation."""

    def __init__(self, step=None, evaluation_check=None):
        super().__init__()
        self.step, self.evaluation_check = step, evaluation_check

    @property
    def name(self):
        return "a test"

    def before(self, step):
        if step == self.step:
            self.stop_at(0)
        return super().before(step)

    def check(self, *done):
        if done and self.evaluation_check is not None:
            self.evaluation_check -= 1
            if self.evaluation_check == 0:
                self.stop_at(0)
        super().check()


def steps_an_epoch(run):
    return next(record["step"] for record in records(run) if record["kind"] == "validation")


@pytest.mark.parametrize("where", ["between lines", "end of epoch", "validation", "measuring"])
def test_a_stopped_run_resumes(corpus, whole, tmp_path, where):
    run, n = tmp_path / "run", steps_an_epoch(whole)
    windows = -(-json.loads(RunFolder(whole).results.read_text())["valid"]["tokens"] // 2)
    stop = {
        "between lines": RequestAt(step=6),  # after step 5
        "end of epoch": RequestAt(step=n + 1),
        "validation": RequestAt(evaluation_check=2),
        "measuring": RequestAt(evaluation_check=EPOCHS * windows + 2),
    }[where]
    with pytest.raises(Stopped, match="stopped by a test") as raised:
        train(experiment(corpus), run, stop=stop)
    assert not RunFolder(run).results.exists()
    if where != "measuring":
        at = 5 if where == "between lines" else n
        assert f"after step {at}, which is saved" in str(raised.value)
        kind = "last" if where == "between lines" else "validating"
        assert CheckpointFolder(RunFolder(run).checkpoints(kind)).steps()[-1] == at
    train(experiment(corpus), run, resume=True)
    assert_same_run(run, whole)
    assert not RunFolder(run).checkpoints("validating").exists()


def damage(run, kind, how):
    """Damage the newest checkpoint of a kind, and return its path."""
    folder = RunFolder(run).checkpoints(kind)
    newest = folder / str(max(int(path.name) for path in folder.iterdir()))
    biggest = max((newest / "params" / "d").iterdir(), key=lambda path: path.stat().st_size)
    if how == "deleted":
        shutil.rmtree(newest)
    elif how == "emptied":
        shutil.rmtree(newest)
        newest.mkdir()
    elif how == "truncated":
        biggest.write_bytes(biggest.read_bytes()[:-20])
    else:
        content = bytearray(biggest.read_bytes())
        content[len(content) // 2] ^= 4
        biggest.write_bytes(content)
    return newest


@pytest.mark.parametrize("how", ["deleted", "emptied", "truncated", "flipped"])
def test_the_checkpoint_before_a_damaged_one_is_resumed(corpus, run, whole, capfd, how):
    newest = damage(run, "last", how)
    train(experiment(corpus), run, resume=True)
    assert_same_run(run, whole)
    printed = capfd.readouterr().err
    if how == "deleted":
        assert printed == ""
    else:
        assert printed.count("\n") == 1
        assert f"rnnlm-jax: warning: the checkpoint {newest} is damaged" in printed


@pytest.mark.parametrize("how", ["deleted", "flipped"])
def test_a_lost_best_checkpoint_is_copied_from_the_last_ones(corpus, run, whole, capfd, how):
    original = open_run(whole)
    newest = damage(run, "best", how)
    if how == "flipped":
        assert open_run(run).position == original.position
        printed = capfd.readouterr().err
        assert printed.count("\n") == 1
        assert f"{newest} is damaged" in printed
    train(experiment(corpus), run, resume=True)
    assert_same_run(run, whole)
    assert "written again from" in capfd.readouterr().err
    assert open_run(run).position == original.position
    assert capfd.readouterr().err == ""


def test_a_best_checkpoint_that_cannot_be_copied_is_an_error(corpus, run, capfd):
    step = open_run(run).position.best_step
    shutil.rmtree(RunFolder(run).checkpoints("last") / str(step))
    at = max(CheckpointFolder(RunFolder(run).checkpoints("last")).steps())
    (first, *_) = CheckpointFolder(RunFolder(run).checkpoints("best")).steps()
    assert first < at < step  # the position to resume from refers to the first
    shutil.rmtree(RunFolder(run).checkpoints("best") / str(first))
    with pytest.raises(UserError, match=f"{first} is missing, and with it the best parameters so far"):
        train(experiment(corpus), run, resume=True)
    shutil.rmtree(RunFolder(run).checkpoints("best"))
    train(experiment(corpus), run, resume=True)
    assert "the best one is sought from step " in capfd.readouterr().err


def test_without_an_intact_checkpoint_resuming_is_an_error(corpus, run):
    folder = RunFolder(run).checkpoints("last")
    for checkpoint in folder.iterdir():
        (checkpoint / "about" / "metadata").write_text("{}")
    with pytest.raises(UserError, match="is damaged .*: restore the folder from a copy") as raised:
        train(experiment(corpus), run, resume=True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "counts.json", "metrics.jsonl"])
def test_a_changed_digit_in_a_file_is_detected(corpus, run, name):
    path = run / name
    text = path.read_text()
    place = max(k for k, letter in enumerate(text[: len(text) // 2]) if letter in "2345678")
    path.write_text(text[:place] + str(int(text[place]) + 1) + text[place + 1 :])
    before = {each: each.read_bytes() for each in run.rglob("*") if each.is_file()}
    with pytest.raises(UserError, match=f"{name} is (damaged|corrupt)|{name}.*corrupt"):
        train(experiment(corpus), run, resume=True)
    assert before == {each: each.read_bytes() for each in run.rglob("*") if each.is_file()}


def test_deleted_metrics_begin_anew(corpus, run, whole, capfd):
    damage(run, "last", "deleted")
    (run / "metrics.jsonl").unlink()
    train(experiment(corpus), run, resume=True)
    assert "metrics.jsonl is missing: it begins anew at step" in capfd.readouterr().err
    written = records(run)
    assert 0 < len(written) < len(records(whole))
    assert written == records(whole)[-len(written) :]


def test_checkpoints_without_a_configuration_are_not_overwritten(corpus, run):
    config = RunFolder(run).config.read_text()
    RunFolder(run).config.unlink()
    with pytest.raises(UserError, match="whose config.json is lost"):
        train(experiment(corpus), run)
    RunFolder(run).config.write_text(config.replace('"epochs": 2', '"epochs": 3'))
    with pytest.raises(UserError, match="was edited by hand"):
        train(experiment(corpus), run, resume=True)
