"""A compiled program, with what compiling it took and the memory it asks for."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache


@dataclass(frozen=True)
class Program:
    """What ``lower().compile()`` gave."""

    call: Callable[..., Any]
    compile_seconds: float
    memory_bytes: int | None
    """Arguments, results and temporaries, what is donated counted once; None where the device does not say."""
    temporary_bytes: int | None


def compile_program(function: Callable[..., Any], *arguments: Any) -> Program:
    """Trace and compile a function, jitted already or not, for these arguments."""
    # A function of its own each time: JAX would remember one that it has compiled for such arguments before.
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
def without_cache() -> Iterator[None]:
    """Compile everything anew, whatever earlier runs left on disk: reading a file is not compiling."""
    config: Any = jax.config
    before = config.jax_enable_compilation_cache
    try:
        _switch(False)
        yield
    finally:
        _switch(before)


def _switch(on: bool) -> None:
    jax.config.update("jax_enable_compilation_cache", on)
    compilation_cache.reset_cache()  # it asks whether it is on only once
