"""A compiled program, with its compilation time and memory."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache


@dataclass(frozen=True)
class Program:
    """A compiled function, with what the compiler reports about it."""

    call: Callable[..., Any]
    compile_seconds: float
    memory_bytes: int | None
    """Arguments, results and temporaries, donated ones counted once; None if the device does not report it."""
    temporary_bytes: int | None


def compile_program(function: Callable[..., Any], *arguments: Any) -> Program:
    """Trace and compile a function, jitted or not, for these arguments."""
    # A new function at each call: JAX reuses what it has compiled for the same function and arguments.
    jitted: Any = function if hasattr(function, "lower") else jax.jit(lambda *arguments: function(*arguments))
    start = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    if memory is None:
        return Program(compiled, seconds, None, None)
    parts = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
    return Program(compiled, seconds, sum(parts) - memory.alias_size_in_bytes, memory.temp_size_in_bytes)


@contextlib.contextmanager
def without_compilation_cache() -> Iterator[None]:
    """Within, compile every program anew: reading it from disk would not measure compilation."""
    config: Any = jax.config
    before = config.jax_enable_compilation_cache
    try:
        _enable_cache(False)
        yield
    finally:
        _enable_cache(before)


def _enable_cache(enabled: bool) -> None:
    jax.config.update("jax_enable_compilation_cache", enabled)
    compilation_cache.reset_cache()  # jax reads the setting once only
