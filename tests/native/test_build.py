"""Kernels are compiled once, for this machine; where they cannot be, everything runs through XLA."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm_jax.native import build as subject

PROGRAM = """
import jax, jax.numpy as jnp
from rnnlm_jax.native import unavailable
from rnnlm_jax.native.matmul import matmul
x = jnp.ones((256, 128)); w = jnp.ones((128, 64))
assert float(matmul(x, w)[0, 0]) == 128.0
print(unavailable())
"""


def run(folder: Path, **environment: str) -> str:
    """What a fresh process says of the kernels."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("CXX", "RNNLM_JAX_NATIVE")}
    inherited |= {"XDG_CACHE_HOME": str(folder), **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=inherited, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_without_a_compiler_the_numbers_are_the_same(tmp_path):
    """The reason is told to who asks, and nothing is written."""
    assert run(tmp_path, CXX="no-such-compiler") == "no C++ compiler (no-such-compiler)"
    assert not list(tmp_path.iterdir())


def test_the_switch_turns_kernels_off(tmp_path):
    """Without a compilation, even where a compiler is there."""
    assert run(tmp_path, RNNLM_JAX_NATIVE="off") == "RNNLM_JAX_NATIVE is off"
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    """One line, with its first complaint; no file is left."""
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'nonsense.h:1: error: I do not like it' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(subject.BuildError, match="cannot compile them: nonsense.h:1: error: I do not like it"):
        subject.build("F32")
    assert not list((tmp_path / "cache" / "rnnlm_jax" / "native").iterdir())


def test_the_library_is_compiled_once(kernels):
    """The second time it is found, untouched."""
    del kernels
    first = subject.build("F32")
    stamp = first.stat().st_mtime_ns
    assert subject.build("F32") == first and first.stat().st_mtime_ns == stamp
