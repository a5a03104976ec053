"""Compilation of the native kernels for this machine, once, into a cache folder."""

import contextlib
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax.ffi
import jaxlib.version

from rnnlm_jax.errors import warn
from rnnlm_jax.system.build_lock import single_build
from rnnlm_jax.system.cache_root import cache_root, writable_folder
from rnnlm_jax.system.progress import token_bar

#: Subfolder of the cache.
FOLDER = "native"
SOURCES = Path(__file__).parent / "source"
COMPILERS = ("c++", "g++", "clang++")
#: Not -std=c++17, under which GCC does not contract a product and a sum into one instruction.
FLAGS = ("-std=gnu++17", "-O3", "-fPIC")
#: Tried in this order: the widest vectors, this machine's instructions, the compiler's default.
TUNINGS = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",), ())

logger = logging.getLogger(__name__)


class BuildError(Exception):
    """The kernels cannot be compiled; the message gives the reason in one line."""


class NoCompilerError(BuildError):
    """No C++ compiler was found."""


def build(data_type: str) -> Path:
    """Return the compiled library of one dtype, from the cache or compiled now, in ten to twenty seconds.

    A library's name holds a digest of its bytes. A cached library with another digest (a full disk, an incomplete copy)
    would crash the process: it is compiled again, after a warning. Without a compiler, a cached library of any compiler
    is used if it is from these sources and for this processor. Progress is shown on a terminal, and logged at the level
    INFO elsewhere.

    Args:
        data_type: "F32" or "F64", as XLA names it.

    Raises:
        NoCompilerError: if there is neither a C++ compiler nor a cached library.
        BuildError: if compilation fails, or the cache cannot be written.
    """
    machine = machine_digest()
    try:
        try:
            compiler = find_compiler()
        except NoCompilerError:
            if library := _whole_library(cache_root() / FOLDER, f"{machine}-*-{data_type.lower()}"):
                return library
            raise
        name = f"{machine}-{compiler_digest(compiler)}-{data_type.lower()}"
        if library := _whole_library(cache_root() / FOLDER, name):
            return library
        folder = writable_folder(FOLDER)
        with single_build(folder, data_type.lower(), _report_waiting) as building:
            if library := _whole_library(folder, name):  # another process has compiled it meanwhile
                return library
            logger.info("compiling native kernels with %s into %s", compiler, folder)
            made = building / "library.so"
            compile_sources(compiler, made, data_type)
            return made.replace(folder / f"{name}-{_file_digest(made)}.so")
    except OSError as error:
        raise BuildError(f"cannot keep them: {error.filename or FOLDER}: {error.strerror or error}") from error


def _report_waiting() -> None:
    message = "another process is compiling the native kernels: waiting for it"
    logger.info(message)
    if sys.stderr.isatty():
        print(f"rnnlm-jax: {message}", file=sys.stderr)


def _whole_library(folder: Path, name: str) -> Path | None:
    """Return a library whose name fits a pattern and whose bytes have its digest; delete damaged ones."""
    for path in sorted(folder.glob(f"{name}-*.so")):
        if path.stem.rpartition("-")[2] == _file_digest(path):
            return path
        warn(f"the compiled kernels {path} are damaged ({path.stat().st_size:,} bytes, wrong digest): compiling anew")
        with contextlib.suppress(OSError):  # in a folder that others write
            path.unlink()
    return None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def find_compiler() -> str:
    """Return ``$CXX``, or the first C++ compiler found.

    Raises:
        NoCompilerError: if none is found.
    """
    asked = os.environ.get("CXX")
    for name in (asked,) if asked else COMPILERS:
        if path := shutil.which(name):
            return path
    raise NoCompilerError(f"no C++ compiler ({asked or ', '.join(COMPILERS)})")


def compile_sources(compiler: str, target: Path, data_type: str) -> None:
    """Compile all sources in parallel into one library.

    Raises:
        BuildError: with the compiler's first error.
    """
    words = [compiler, *FLAGS, *_tuning(compiler), f"-DRNNLM_TYPE=xla::ffi::{data_type}", f"-I{jax.ffi.include_dir()}"]
    sources = sorted(SOURCES.glob("*.cc"))
    objects = [str(target.with_name(f"{source.stem}.o")) for source in sources]
    commands = [[*words, "-c", str(source), "-o", made] for source, made in zip(sources, objects, strict=True)]
    about = f"compiling native kernels ({data_type.lower()}), once for this machine"
    errors = []
    with (
        token_bar(about, len(commands), disable=not sys.stderr.isatty(), unit=" files") as bar,
        ThreadPoolExecutor(len(commands)) as pool,
    ):
        for error in pool.map(_run, commands):
            errors += [] if error is None else [error]
            bar.update()
    if error := errors[0] if errors else _run([*words, "-shared", *objects, "-o", str(target)]):
        raise BuildError(f"{compiler} cannot compile them: {error}")


def _tuning(compiler: str) -> tuple[str, ...]:
    """Return the first tuning that the compiler accepts."""
    return next(t for t in TUNINGS if not t or _run([compiler, *t, "-fsyntax-only", "-x", "c++", os.devnull]) is None)


def _run(words: list[str]) -> str | None:
    """Run a command; return None if it succeeds, otherwise its first error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return next((line for line in done.stderr.splitlines() if "error" in line), "it failed")


@functools.cache
def source_digest() -> str:
    """Return the digest of the sources and of the headers' version."""
    found = hashlib.sha256(jaxlib.version.__version__.encode())
    for path in sorted(SOURCES.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def machine_digest() -> str:
    """Return the digest of the sources and of the processor's features."""
    return _digest(source_digest(), platform.machine(), _processor_flags())


def compiler_digest(compiler: str) -> str:
    """Return the digest of the compiler and its flags."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    return _digest(compiler, version, FLAGS, TUNINGS)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _processor_flags() -> str:
    """Return the features in /proc/cpuinfo, or the processor's name: different machines may share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
