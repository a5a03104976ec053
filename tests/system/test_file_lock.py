"""File locks: exclusive, released by the end of a process, and done without where the file system has none."""

import errno
import os
import subprocess
import sys

import pytest

from rnnlm_jax.system.file_lock import LockHeldError, file_lock, single_build

HOLDER = """
import sys
from pathlib import Path
from rnnlm_jax.system.file_lock import file_lock
with file_lock(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_exclusive_until_its_process_is_killed(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LockHeldError), file_lock(path, wait=False):
            pytest.fail("two processes hold the lock")
        process.kill()
    with file_lock(path, wait=False) as held:
        assert held
    assert path.exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_do_without(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def fail(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    for _ in range(2):
        with file_lock(tmp_path / "lock", wait=False) as held, single_build(tmp_path, "name") as folder:
            assert not held
            assert folder.is_dir()


def test_a_build_deletes_its_folder_and_those_of_killed_builds(tmp_path):
    leftover = tmp_path / ".a*b.killed"
    leftover.mkdir()
    with pytest.raises(ZeroDivisionError), single_build(tmp_path, "a*b") as folder:
        assert not leftover.exists()
        (folder / "half").touch()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == [".a*b.lock"]
