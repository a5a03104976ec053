"""Tests of the package, laid out as it is.

The suite compiles thousands of small programs and runs each a few times. What follows makes that cheap, in this process
and in those that tests start; here, because jax reads it when it is first imported. With XLA_FLAGS set, if only to
nothing, programs are compiled as users have them, which takes three times as long.
"""

import atexit
import os
import shutil
import tempfile
from importlib import metadata


def _compile_quickly() -> None:
    """Ask XLA for quick compilation: no optimisation, one module for LLVM, plain loops in place of MLIR's fusions."""
    flags = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
    if tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11):  # later releases have no such option
        flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ.setdefault("XLA_FLAGS", " ".join(flags))


def _compile_once() -> None:
    """Keep what is compiled in a folder that all processes of this run of the suite share, unless one is set."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # as it is in the workers that a first process starts
        folder = os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # On some processors XLA logs an error at each program that it reads, see rnnlm_jax.cli.compilation_cache.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


_compile_quickly()
_compile_once()
