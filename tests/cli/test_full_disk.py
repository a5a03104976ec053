"""A full disk: an error of one line, exit code 2, and the run goes on once there is space."""

import os
import shutil
import subprocess
import sys

import jax
import pytest

from rnnlm_jax.cli.main import main
from rnnlm_jax.jobs.run_folder import RunFolder
from tests.cli.conftest import one_line
from tests.training.tiny import TINY, assert_same_run, last_checkpoint

# The other failed writes of a checkpoint are reported by Python's garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: Files may grow to so many bytes: enough for a vocabulary and a configuration, too few for a figure or a checkpoint.
LIMITED = """
import resource, sys
from rnnlm_jax.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (2900, resource.RLIM_INFINITY))
main.run()
"""


def words(corpus, run, *options):
    return ["train", *TINY, "--epochs=2", "--checkpoint-every=4", f"--data={corpus}", f"--run={run}", *options]


@pytest.fixture(autouse=True)
def _narrow_types():
    """Exit code and standard error of a process."""
    with jax.enable_x64(False):
        yield


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run with enough space."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with jax.enable_x64(False):
        assert main(words(corpus, run)) == 0
    return run


def test_files_that_may_not_grow(corpus, whole, tmp_path, rnnlm):
    run = tmp_path / "run"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}
    compiled = tmp_path / "compiled"  # whose files may not grow either, and of which no word is said
    command = [sys.executable, "-c", LIMITED, *words(corpus, run, f"--compilation-cache={compiled}")]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "cannot save the checkpoint of step 4" in one_line(done.stderr.decode())
    assert rnnlm(*words(corpus, run, "--resume")).code == 0
    assert_same_run(run, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A separate file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system needs root and the right to mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(path, room):
    """Fill the disk except for some bytes."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(path.stat().st_size - room)


def test_a_disk_that_fills_up_between_two_checkpoints(corpus, whole, small_disk, rnnlm, refuse):
    run, ballast = small_disk / "run", small_disk / "ballast"
    assert rnnlm(*words(corpus, run, "--epochs=1")).code == 0
    _, earlier = last_checkpoint(run)
    fill(ballast, room=6 * 4096)  # the metrics have room, a checkpoint has not
    message = refuse(*words(corpus, run, "--resume"), saying="cannot save the checkpoint")
    assert "make room" in message
    assert last_checkpoint(run)[1] == earlier
    assert rnnlm("sample", run).code == 0
    ballast.unlink()
    assert rnnlm(*words(corpus, run, "--resume")).code == 0
    assert_same_run(run, whole)
    assert [path.name for path in run.rglob("*") if "tmp" in path.name or path.name.endswith(".new")] == []


def test_a_disk_without_any_room(corpus, small_disk, rnnlm, refuse):
    run, ballast = small_disk / "run", small_disk / "ballast"
    fill(ballast, room=4096)
    refuse(*words(corpus, run), saying="No space left")
    ballast.unlink()
    assert not RunFolder(run).exists()  # nothing is in the way of the next try
    assert rnnlm(*words(corpus, run)).code == 0
