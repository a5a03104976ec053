"""SIGTERM during a command: the exit code, the message of one line, and no loss of results."""

import os
import signal
import subprocess
import time

import jax

from rnnlm_jax.cli.commands import eval as evaluating
from rnnlm_jax.jobs.stopping import STOPPED
from tests.training.tiny import PROGRAM, TINY, assert_same_run


def test_training_that_is_terminated(corpus, tmp_path, rnnlm):
    words = ["train", *TINY, "--epochs=8", "--log-every=1", f"--data={corpus}"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}
    with subprocess.Popen(
        [*PROGRAM, *words, f"--run={run}"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    ) as process:
        while process.poll() is None and not (run / "metrics.jsonl").exists():
            time.sleep(0.01)
        while process.poll() is None and (run / "metrics.jsonl").read_text().count("\n") < 5:
            time.sleep(0.001)
        process.terminate()
        errors = process.stderr.read().decode()
    assert process.returncode == STOPPED, errors
    said = [line for line in errors.replace("\r", "\n").split("\n") if line.startswith("rnnlm-jax")]
    assert len(said) == 2
    assert "SIGTERM: stopping as soon as" in said[0]
    assert "stopped by SIGTERM after step" in said[1]
    assert said[1].endswith(f"go on with rnnlm-jax train --run {run} --resume")
    assert "Traceback" not in errors
    with jax.enable_x64(False):
        assert rnnlm("train", "--run", run, "--resume").code == 0
        assert rnnlm(*words, f"--run={whole}").code == 0
        assert_same_run(run, whole)


def test_an_evaluation_that_is_terminated(corpus, run, rnnlm, monkeypatch):
    def asked(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(evaluating, "evaluate", asked)
    outcome = rnnlm("eval", run, "--data", corpus)
    assert outcome.code == 128 + signal.SIGTERM
    assert outcome.err.split("\r")[-1].startswith("rnnlm-jax: interrupted")
    assert "Traceback" not in outcome.err
    assert signal.getsignal(signal.SIGTERM) == before


def test_one_command_begins_a_run_and_goes_on_with_it(corpus, tmp_path, rnnlm):
    """--resume-or-start, for scripts of a job scheduler; they may also change the number of epochs."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    words = ["train", *TINY, "--log-every=1", f"--data={corpus}"]
    with jax.enable_x64(False):
        begun = rnnlm(*words, f"--run={run}", "--resume-or-start")
        assert (begun.code, "resuming" in begun.out) == (0, False)
        gone_on = rnnlm(*words, f"--run={run}", "--resume-or-start", "--epochs=2")
        assert (gone_on.code, "resuming at step" in gone_on.out) == (0, True)
        assert rnnlm(*words, f"--run={whole}", "--epochs=2").code == 0
        assert_same_run(run, whole)
    both = rnnlm(*words, f"--run={run}", "--resume-or-start", "--resume")
    assert (both.code, "not allowed with" in both.err) == (2, True)
