"""Training jobs of two processes on the command line: equal to one process, and none waits for a lost one."""

import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.data import load_corpus
from rnnlm_jax.jobs.stopping import STOPPED
from tests.jobs.sharding.processes import finish, free_port, start
from tests.training.tiny import TINY, TRAINING_PROGRAM, last_checkpoint, records, text

PROGRAM = [*TRAINING_PROGRAM[1:], "train"]
OPTIONS = [*TINY, "--epochs=3", "--log-every=1", "--checkpoint-every=3", "--dropout-output=0.2"]
pytestmark = pytest.mark.xdist_group("jobs")


def begin(run, corpus, *words, devices=1, second=()):
    """Start a job of two processes; ``second``: additional arguments of the second one."""
    options = [*PROGRAM, *OPTIONS, "--data", corpus, "--run", run, *words]
    job = ["--coordinator", f"localhost:{free_port()}", "--processes", 2]
    return [start([*options, *job, "--process-id", k, *(second if k else ())], devices) for k in range(2)]


def train(run, corpus, *words):
    """Train the same in this process, on one device."""
    with jax.enable_x64(False):
        assert main(["train", *OPTIONS, "--data", str(corpus), "--run", str(run), *words]) == 0


def wait_until(job, condition, seconds=200):
    """Wait until a condition holds, while all processes of a job are running."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in job), [process.communicate() for process in job]
        time.sleep(0.01)


def has_checkpoint(run, folder="last"):
    return any(path.name.isdigit() for path in (run / "checkpoints" / folder).glob("*"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(text())
    return path


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """A run of one process on one device."""
    run = tmp_path_factory.mktemp("alone") / "run"
    train(run, corpus)
    return run


#: A mesh that divides tables, of two processes with two devices each.
DIVIDED = "--mesh=data=2,model=2"


@pytest.fixture(scope="module")
def two_epochs(corpus, tmp_path_factory):
    """The folder of two epochs in two processes of two devices; exit code, output and errors of each process."""
    run = tmp_path_factory.mktemp("two_epochs") / "run"
    return run, finish(begin(run, corpus, "--epochs=2", DIVIDED, devices=2))


def assert_like(run, whole, corpus):
    """Assert equal parameters to 1e-6, losses and final figures, and that each token is read once an epoch."""
    tokens = sum(len(line.split()) + 1 for line in load_corpus(str(corpus)).lines("train"))  # an end of line each
    assert [record["train_tokens"] for record in records(run) if record["kind"] == "validation"] == [tokens] * 3
    with jax.enable_x64(False):
        (state, position), (other, where) = last_checkpoint(run), last_checkpoint(whole)
    assert (position.step, position.epoch, position.batch) == (where.step, where.epoch, where.batch)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    for ours, theirs in zip(records(run), records(whole), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            wanted = theirs[name]
            assert value == (pytest.approx(wanted, rel=1e-5) if isinstance(wanted, float) else wanted), name
    ours, theirs = (json.loads((path / "results.json").read_text()) for path in (run, whole))
    assert ours["test_perplexity"] == pytest.approx(theirs["test_perplexity"], rel=1e-5)


def test_two_processes_equal_one_after_a_change_of_mesh(alone, two_epochs, corpus, tmp_path):
    """Two epochs in two processes of two devices; the third on one, from a checkpoint of tables that were divided."""
    begun, (first, second) = two_epochs
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "mesh data=2, model=2 (4 devices, 2 processes); divided over model: " in first[1]
    assert second[1] == ""  # only process 0 prints
    run = shutil.copytree(begun, tmp_path / "run")
    train(run, corpus, "--resume", "--mesh=none")
    assert_like(run, alone, corpus)


def test_a_job_with_a_killed_process_is_resumed_by_one_process(alone, corpus, tmp_path, capsys):
    run = tmp_path / "run"
    job = begin(run, corpus, "--checkpoint-every=1", "--epochs=1000", DIVIDED, devices=2)
    try:
        wait_until(job, lambda: has_checkpoint(run))  # during the first epoch
        job[1].send_signal(signal.SIGKILL)
        (code, out, err), killed = finish(job, seconds=100)
    finally:
        for process in job:
            process.kill()
    assert killed[0] == -signal.SIGKILL
    assert code == STOPPED, out + err
    assert "process 0 of 2: another process of the job is gone" in err.splitlines()[-1]
    assert len(messages(err)) == 1
    train(run, corpus, "--resume", "--mesh=none")
    assert "resuming at step" in capsys.readouterr().out
    assert_like(run, alone, corpus)


def messages(err):
    """Return the lines of standard error without the progress bar and messages of connections."""
    connections = ("[Gloo] Rank", "connected peer ranks")  # two processes' lines may arrive cut into pieces
    lines = [line for line in err.splitlines() if line.strip() and not any(text in line for text in connections)]
    return [line.rstrip() for line in lines if not line.startswith("training: ")]


def test_a_job_stopped_by_sigterm_to_one_process_resumes_to_the_same_bits(two_epochs, corpus, tmp_path):
    """All processes save one checkpoint together; the same command resumes it."""
    whole, run = two_epochs[0], tmp_path / "run"
    words = ["--resume-or-start", "--epochs=2", "--checkpoint-every=1000", DIVIDED]
    job = begin(run, corpus, *words, devices=2)
    try:
        wait_until(job, lambda: (run / "metrics.jsonl").exists() and len(records(run)) >= 2)
        job[1].send_signal(signal.SIGTERM)
        ended = finish(job, seconds=100)
    finally:
        for process in job:
            process.kill()
    for code, out, err in ended:
        assert code == STOPPED, out + err
        assert "stopped by SIGTERM in process 1 after step" in err.splitlines()[-1]
    assert has_checkpoint(run) or has_checkpoint(run, "validating")  # the latter if the signal came in a validation
    (code, out, err), second = finish(begin(run, corpus, *words, devices=2))
    assert (code, second[0]) == (0, 0), err + second[2]
    assert "resuming at step" in out
    with jax.enable_x64(False):
        (state, _), (other, _) = (last_checkpoint(each) for each in (whole, run))
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_other_process_ends_in_time_when_one_is_suspended(corpus, tmp_path):
    """Process 0 is suspended while it saves checkpoints; the other one then ends by itself."""
    run = tmp_path / "run"
    job = begin(run, corpus, "--checkpoint-every=1", "--epochs=1000", "--partner-timeout=2")
    try:
        wait_until(job, lambda: has_checkpoint(run))
        job[0].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        ((code, out, err),) = finish(job[1:], seconds=100)
        seconds = time.monotonic() - began
    finally:
        for process in job:
            process.kill()
            process.communicate()
    assert code == STOPPED, out + err
    assert seconds < 20  # on a busy machine
    (line,) = messages(err)
    assert line.startswith("rnnlm-jax: error: process 1 of 2: another process of the job is gone (process 0: not heard")


def test_a_process_that_never_joins_is_named(corpus, tmp_path):
    words = [*PROGRAM, *OPTIONS, "--data", corpus, "--run", tmp_path / "run", "--start-timeout=2"]
    first = start([*words, "--coordinator", f"localhost:{free_port()}", "--processes", 2, "--process-id", 0])
    ((code, out, err),) = finish([first], seconds=60)
    assert (code, out) == (2, "")
    assert "process 1 of 2 did not come within 2 s" in err
    assert len(messages(err)) == 1
    assert not (tmp_path / "run").exists()


def test_two_processes_with_index_0_are_refused(corpus, tmp_path):
    """One of them cannot listen on the port; with another index see ``liveness/test_liveness.py``."""
    words = [*PROGRAM, *OPTIONS, "--data", corpus, "--run", tmp_path / "run", "--start-timeout=30"]
    words += ["--coordinator", f"localhost:{free_port()}", "--processes", 3, "--process-id", 0]
    for code, out, err in finish([start(words) for _ in range(2)], seconds=100):
        assert (code, out) == (2, "")
        (line,) = messages(err)
        assert "two processes were started with " in line and " 0: give each its own" in line


def test_an_error_stops_every_process_with_one_line(alone, corpus, tmp_path):
    job = begin(alone, corpus)  # the folder holds a run
    for code, out, err in finish(job):
        assert code == 2
        assert out == ""
        (line,) = [line for line in err.splitlines() if "error" in line]
        assert line.startswith(f"rnnlm-jax: error: {alone} already holds a run: ")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (["--learning-rate=0.5"], " (0.01 in process 0, 0.5 in process 1)"),
        (["--data=other.txt"], "differ in vocabulary ("),
    ],
    ids=lambda value: value[0].split("=")[0] if isinstance(value, list) else "",
)
def test_processes_with_different_options_are_refused(corpus, tmp_path, second, message):
    """Every process names the option in which they differ, and nothing is written."""
    run = tmp_path / "run"
    if "--data=other.txt" in second:
        (tmp_path / "other.txt").write_text(text().replace("dog", "horse"))
        second = [f"--data={tmp_path / 'other.txt'}"]
    for code, out, err in finish(begin(run, corpus, second=second)):
        assert (code, out) == (2, "")
        (line,) = [line for line in err.splitlines() if "error" in line]
        assert message in line
        assert line.endswith(": start them all alike")
    assert not run.exists()
