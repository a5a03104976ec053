"""A miscompilation of some jaxlib releases on CPUs: wrong elements in concatenated float64 arrays.

On processors with AVX-512, jaxlib 0.8.0 to 0.11.0 may compile a concatenation of sums along the last axis wrongly in
float64, for some shapes, without an error. The derivative of a cell's update concatenates gates in this way, so that
gradients can be wrong by a third. Other dtypes are not affected. A small test program detects the fault.
"""

import contextlib
import contextvars
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np

#: Options of ``jax.jit`` under which the fault does not occur; the fastest of those.
RIGHT_OPTIONS: dict[str, Any] = {"xla_cpu_prefer_vector_width": 128}

#: The same for a whole process, in the environment variable XLA_FLAGS, which XLA reads once.
RIGHT_FLAGS = "--xla_cpu_max_isa=AVX2"

#: The release whose products under ``vmap`` are wrong from some thousand rows on, in every dtype (jax#39103).
FAULTY_JAXLIB = "0.10.2"

_with_right_options = contextvars.ContextVar("compiled with RIGHT_OPTIONS", default=False)


def warn_of_faulty_jaxlib(version: str = jaxlib.version.__version__) -> None:
    """Warn if this is jaxlib 0.10.2, under which ``vmap`` of a matrix-vector product gives wrong rows on CPUs."""
    if version == FAULTY_JAXLIB:
        warnings.warn(
            f"jaxlib {version} gives wrong results on CPUs (jax-ml/jax#39103): install another release, "
            "pip install 'jax!=0.10.2' 'jaxlib!=0.10.2'",
            RuntimeWarning,
            stacklevel=2,
        )


@functools.cache
def float64_is_miscompiled() -> bool:
    """Return whether float64 programs are compiled wrongly in this process; the first call runs a test program.

    The result depends on the processor, the jaxlib release and ``XLA_FLAGS``. It is False if the default device is not
    a CPU.
    """
    if jax.default_backend() != "cpu":
        return False
    with jax.enable_x64(True), jax.transfer_guard("allow"):
        return not joins_sums_correctly(jax.jit(joined_sums))


def joined_sums(c: Any, ps: tuple[Any, ...], i: Any) -> Any:
    """Return two concatenated sums of slices, the form in which the fault was found."""
    p, q, r, s = ps
    return jnp.concatenate([c + p[i] + q[i] + s[i], c + p[i] + r[i] + s[i]], axis=-1)


def joins_sums_correctly(compiled: Any) -> bool:
    """Return whether a compiled ``joined_sums`` equals NumPy's, for shapes that show the fault."""
    c = np.arange(40.0).reshape(2, 4, 5)
    # Whole numbers, so that sums are exact in any order; all different, so that a wrong element is detected.
    ps = tuple(10.0**k + np.arange(320.0).reshape(8, 2, 4, 5) for k in (3, 4, 5, 6))
    p, q, r, s = (each[3] for each in ps)
    expected = np.concatenate([c + p + q + s, c + p + r + s], axis=-1)
    found = compiled.lower(c, ps, 3).compile()(c, ps, 3)
    return bool(np.array_equal(np.asarray(found), expected))


def warn_of_float64(*dtypes: Any) -> None:
    """Warn, once in a process, if a dtype is float64 and float64 is compiled wrongly here.

    Programs that ``rnnlm_jax.compilation.jit`` compiles are correct, so that there is no warning while they are traced.
    """
    if _with_right_options.get() or np.float64 not in dtypes:
        return
    if float64_is_miscompiled():
        _warn_once()


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        f"jaxlib {jaxlib.version.__version__} compiles some float64 programs wrongly on this processor: "
        f"start Python with XLA_FLAGS={RIGHT_FLAGS}, or use jax.jit(..., compiler_options={RIGHT_OPTIONS}), "
        "or jaxlib 0.11.1 or later",
        RuntimeWarning,
        stacklevel=2,
    )


@contextlib.contextmanager
def right_options() -> Iterator[None]:
    """Mark what is traced inside as compiled with ``RIGHT_OPTIONS``."""
    token = _with_right_options.set(True)
    try:
        yield
    finally:
        _with_right_options.reset(token)
