"""Two processes cannot train in one folder; the lock of a killed process is free."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from rnnlm_jax import UserError
from rnnlm_jax.config import replace
from rnnlm_jax.training.run_lock import training_lock
from rnnlm_jax.training.train import train
from tests.training.tiny import tiny_config

HOLDER = """
import sys
from pathlib import Path
from rnnlm_jax.training.run_lock import training_lock
with training_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder):
    """Hold the lock of a folder in another process, until that is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    with held_elsewhere(tmp_path) as process:
        message = rf"another process \({process.pid} on .*\) is training in {tmp_path}: "
        with pytest.raises(UserError, match=message), training_lock(tmp_path):
            pytest.fail("two processes hold the lock")
    with training_lock(tmp_path):
        pass
    with training_lock(tmp_path):  # released at the end of the block
        pass


def test_resuming_a_run_that_is_being_trained_changes_nothing(corpus, tmp_path):
    config = tiny_config(corpus, training={"epochs": 1})
    train(config, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with held_elsewhere(tmp_path / "run"):
        before[tmp_path / "run" / ".training.lock"] = (tmp_path / "run" / ".training.lock").read_bytes()
        with pytest.raises(UserError, match="is training in"):
            train(replace(config, training={"epochs": 2}), tmp_path / "run", resume=True)
    assert {path: path.read_bytes() for path in before} == before
    train(replace(config, training={"epochs": 2}), tmp_path / "run", resume=True)
