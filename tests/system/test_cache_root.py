"""The cache folder: which one is used, and what happens if it cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm_jax.system import cache_root as subject


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("RNNLM_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_variable_comes_before_the_platforms_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert subject.cache_root() == tmp_path / ".cache" / "rnnlm_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # ignored, as the XDG standard requires
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
from rnnlm_jax.system import cache_root  # before setuid: the other user may not be able to read the package
os.environ.pop("HOME")
os.setuid(12345)
print(cache_root.writable_folder("native"))
print(cache_root.writable_folder("native"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_a_home_gets_a_temporary_folder_and_one_warning():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second and not Path(first).exists() and not Path(first).parent.exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "rnnlm-jax: warning: nothing can be kept for the next start (the user has no home directory)"
    )
    environment = os.environ | {"RNNLM_JAX_CACHE": f"/tmp/rnnlm_jax-test-{os.getpid()}"}
    try:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
        assert (done.stdout.split()[0], done.stderr) == (environment["RNNLM_JAX_CACHE"] + "/native", "")
    finally:
        subprocess.run(["rm", "-r", environment["RNNLM_JAX_CACHE"]], check=True)


def test_a_folder_that_cannot_be_made_is_replaced_after_one_warning(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path / "file" / "below"))
    assert subject.writable_folder("native").is_dir()
    assert subject.writable_folder("native").is_dir()
    assert capsys.readouterr().err.count("Not a directory") == 1
