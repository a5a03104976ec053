"""Compile the native kernels for this machine, once, into a cache folder."""

import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax.ffi
import jaxlib.version

SOURCES = Path(__file__).parent / "source"
COMPILERS = ("c++", "g++", "clang++")
#: Not -std=c++17, under which GCC does not contract a product and a sum into one instruction.
FLAGS = ("-std=gnu++17", "-O3", "-fPIC")
#: Tried in turn: the widest vectors, this machine's instructions, whatever the compiler thinks right.
TUNINGS = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",), ())

logger = logging.getLogger(__name__)


class BuildError(Exception):
    """The kernels cannot be compiled here; the message says why, in one line."""


def build(data_type: str) -> Path:
    """The compiled library of one floating-point type: from the cache, or compiled now, in ten to twenty seconds.

    Args:
        data_type: "F32" or "F64", as XLA names it.

    Raises:
        BuildError: if there is no C++ compiler, it fails, or the cache cannot be written.
    """
    compiler = find_compiler()
    library = cache_folder() / f"{digest(compiler)}-{data_type.lower()}.so"
    if library.exists():
        return library
    logger.info("compiling native kernels with %s into %s", compiler, library)
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / "library.so"
            compile_sources(compiler, made, data_type)
            os.replace(made, library)  # whole or not at all, whoever else builds it at this moment
    except OSError as error:
        raise BuildError(f"cannot write compiled kernels to {library.parent}: {error.strerror}") from error
    return library


def find_compiler() -> str:
    """``$CXX``, or the first C++ compiler found.

    Raises:
        BuildError: if there is none.
    """
    asked = os.environ.get("CXX")
    for name in (asked,) if asked else COMPILERS:
        if path := shutil.which(name):
            return path
    raise BuildError(f"no C++ compiler ({asked or ', '.join(COMPILERS)})")


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/rnnlm_jax/native``, or under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rnnlm_jax" / "native"


def compile_sources(compiler: str, target: Path, data_type: str) -> None:
    """Compile all sources, side by side, into one library.

    Raises:
        BuildError: with the compiler's first complaint.
    """
    words = [compiler, *FLAGS, *_tuning(compiler), f"-DRNNLM_TYPE=xla::ffi::{data_type}", f"-I{jax.ffi.include_dir()}"]
    sources = sorted(SOURCES.glob("*.cc"))
    objects = [str(target.with_name(f"{source.stem}.o")) for source in sources]
    commands = [[*words, "-c", str(source), "-o", made] for source, made in zip(sources, objects, strict=True)]
    with ThreadPoolExecutor(len(commands)) as pool:
        errors = [error for error in pool.map(_run, commands) if error is not None]
    if error := errors[0] if errors else _run([*words, "-shared", *objects, "-o", str(target)]):
        raise BuildError(f"{compiler} cannot compile them: {error}")


def _tuning(compiler: str) -> tuple[str, ...]:
    """The first tuning that the compiler knows."""
    return next(t for t in TUNINGS if not t or _run([compiler, *t, "-fsyntax-only", "-x", "c++", os.devnull]) is None)


def _run(words: list[str]) -> str | None:
    """None if the command succeeds, otherwise its first error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return next((line for line in done.stderr.splitlines() if "error" in line), "it failed")


@functools.cache
def source_digest() -> str:
    """Of the sources and of the headers' version: what decides the meaning of a call."""
    found = hashlib.sha256(jaxlib.version.__version__.encode())
    for path in sorted(SOURCES.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def digest(compiler: str) -> str:
    """Of all that decides the machine code: sources, compiler, flags, and the processor's abilities."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    told = (source_digest(), compiler, version, FLAGS, TUNINGS, platform.machine(), _processor_flags())
    return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


def _processor_flags() -> str:
    """What /proc/cpuinfo lists, where there is one: a home may be shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
