"""Where things are kept between starts: one rule for all of them, and a folder to work in where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm_jax.system import cache_root as subject
from rnnlm_jax.system.build_lock import single_build


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("RNNLM_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_which_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert subject.cache_root() == tmp_path / ".cache" / "rnnlm_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the standard says to ignore
    assert subject.cache_root() == tmp_path / ".cache" / "rnnlm_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert subject.cache_root() == tmp_path / "caches" / "rnnlm_jax"
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path / "ours"))
    assert subject.cache_root() == tmp_path / "ours"
    assert list(tmp_path.iterdir()) == []
    assert subject.writable_folder("native") == tmp_path / "ours" / "native"
    assert (tmp_path / "ours" / "native").stat().st_mode & 0o077 == 0


PROGRAM = """
import os
from rnnlm_jax import cache_root  # before this user may no longer read it
os.environ.pop("HOME")
os.setuid(12345)
print(cache_root.writable_folder("native"))
print(cache_root.writable_folder("native"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may become another user")
def test_a_user_without_a_home():
    """One warning, and a folder that is gone in the end; with the variable, that."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second and not Path(first).exists() and not Path(first).parent.exists()
    (said,) = done.stderr.splitlines()
    assert said.startswith(
        "rnnlm-jax: warning: nothing can be kept for the next start (the user has no home directory)"
    )
    environment = os.environ | {"RNNLM_JAX_CACHE": f"/tmp/rnnlm_jax-test-{os.getpid()}"}
    try:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
        assert (done.stdout.split()[0], done.stderr) == (environment["RNNLM_JAX_CACHE"] + "/native", "")
    finally:
        subprocess.run(["rm", "-r", environment["RNNLM_JAX_CACHE"]], check=True)


def test_a_file_in_the_way(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path / "file" / "below"))
    assert subject.writable_folder("native").is_dir()
    assert subject.writable_folder("native").is_dir()
    assert capsys.readouterr().err.count("Not a directory") == 1


def test_a_build_leaves_its_lock_alone(tmp_path):
    with pytest.raises(ZeroDivisionError), single_build(tmp_path, "a*b") as folder:
        (folder / "half").touch()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == [".a*b.lock"]
