"""Kernels are compiled once, for this machine; where they cannot be, everything runs through XLA."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm_jax.cli.commands import build_kernels
from rnnlm_jax.cli.main import main
from rnnlm_jax.kernels import build as subject

PROGRAM = """
import jax, jax.numpy as jnp
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.kernels.matmul import matmul
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


def kept(cache: Path) -> list[str]:
    """What is in a cache's folder of kernels besides locks."""
    return sorted(path.name for path in (cache / "native").iterdir() if path.suffix != ".lock")


@pytest.fixture
def quick_compiler(kernels, tmp_path, monkeypatch):
    """A compiler that takes a second and makes the library that this machine has already; and the cache's folder."""
    del kernels
    compiler, log = tmp_path / "bin" / "c++", tmp_path / "log"
    compiler.parent.mkdir()
    library = subject.build("F32")
    compiler.write_text(
        f"""#!/bin/sh
for word; do
    case "$word" in
        --version) echo quick 1.0; exit;;
        -fsyntax-only|-c) exit;;
        -shared) echo "$0" >> {log};;
    esac
    target=$word
done
sleep 1
cp {library} "$target"
"""
    )
    compiler.chmod(0o755)
    log.touch()
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache", log


def start(program: str = PROGRAM) -> subprocess.CompletedProcess:
    """A fresh process that uses the kernels, in the environment as it is."""
    inherited = {name: value for name, value in os.environ.items() if name != "RNNLM_JAX_NATIVE"}
    return subprocess.run([sys.executable, "-c", program], env=inherited, capture_output=True, text=True)


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_library_cut_short_is_compiled_again(quick_compiler, size):
    """It would end the process by a bus error, or run everything through XLA without a word."""
    cache, log = quick_compiler
    whole = subject.build("F32")
    content = whole.read_bytes()
    os.truncate(whole, size)
    done = start()
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"rnnlm-jax: warning: the compiled kernels {whole} are damaged ({size:,} bytes")
    assert whole.read_bytes() == content
    assert log.read_text().count("\n") == 2
    assert start().stderr == ""


def test_one_changed_byte_is_noticed(quick_compiler, capsys):
    cache, log = quick_compiler
    whole = subject.build("F32")
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    whole.write_bytes(content)
    assert subject.build("F32") == whole
    assert "wrong digest" in capsys.readouterr().err
    assert kept(cache) == [whole.name]


def test_two_processes_compile_once(quick_compiler):
    cache, log = quick_compiler
    inherited = {name: value for name, value in os.environ.items() if name != "RNNLM_JAX_NATIVE"}
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM], env=inherited) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert log.read_text().count("\n") == 1
    assert len(kept(cache)) == 1


def test_files_of_a_killed_build_are_removed(quick_compiler):
    cache, log = quick_compiler
    left = cache / "native" / ".f32.killed"
    left.mkdir(parents=True)
    (left / "gru.o").touch()
    library = subject.build("F32")
    assert kept(cache) == [library.name]


def test_cached_kernels_serve_without_a_compiler(quick_compiler, monkeypatch):
    cache, log = quick_compiler
    library = subject.build("F32")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert subject.build("F32") == library
    with pytest.raises(subject.NoCompilerError):  # of this dtype there are none
        subject.build("F64")
    assert log.read_text().count("\n") == 1


def test_the_command_builds_all_kernels(quick_compiler, capsys, monkeypatch):
    """Into the cache; a second time nothing is compiled. Without a compiler: one line, and exit code 2."""
    cache, log = quick_compiler
    monkeypatch.setattr(build_kernels, "unavailable", lambda data_type: None)  # loaded in this process already
    for _ in range(2):
        assert main(["build-kernels"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition(": ")[0] for line in lines] == ["float32", "float64"]
        assert sorted(Path(line.partition(": ")[2]).name for line in lines) == kept(cache)
    assert log.read_text().count("\n") == 2
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(cache / "other"))
    assert main(["build-kernels"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "no float32 kernels: no C++ compiler (no-such-compiler): install a C++ compiler, or name one in CXX" in said


def test_without_a_writable_cache_kernels_are_built_in_a_temporary_folder(quick_compiler):
    """One line, and kernels from a temporary folder."""
    cache, log = quick_compiler
    cache.touch()
    done = start()
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    (said,) = done.stderr.splitlines()
    assert f"nothing can be kept for the next start ({cache / 'native'}: Not a directory)" in said
    assert "set RNNLM_JAX_CACHE to a folder that can be written" in said
    assert log.read_text().count("\n") == 1


def test_a_library_that_cannot_be_loaded_gives_a_warning(quick_compiler, tmp_path):
    compiler = Path(os.environ["CXX"])
    compiler.write_text(compiler.read_text().replace("cp ", 'echo no library > "$target" #'))
    done = start()
    assert done.returncode == 0 and "cannot load them" in done.stdout
    (said,) = done.stderr.splitlines()
    assert said.startswith("rnnlm-jax: warning: no native kernels, which makes this slower (cannot load them")


def test_without_a_compiler_the_numbers_are_the_same(tmp_path):
    """``unavailable`` returns the reason, and nothing is written to the cache."""
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
    assert kept(tmp_path / "cache" / "rnnlm_jax") == []


def test_the_library_is_compiled_once(kernels):
    """The second time it is found, untouched."""
    del kernels
    first = subject.build("F32")
    stamp = first.stat().st_mtime_ns
    assert subject.build("F32") == first and first.stat().st_mtime_ns == stamp
