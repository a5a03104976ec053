"""The native kernels as targets of XLA's foreign function interface, loaded on first use."""

import ctypes
import functools
import os
import threading

import jax.ffi

from rnnlm_jax.errors import warn
from rnnlm_jax.kernels.build import BuildError, NoCompilerError, build, source_digest

#: Environment variable; "off" or "0" turns the kernels off, so that XLA compiles everything.
SWITCH = "RNNLM_JAX_NATIVE"

_lock = threading.Lock()


def unavailable(data_type: str = "F32") -> str | None:
    """Return why the kernels of a dtype cannot be used on this machine, in a few words; None if they can."""
    found = _library(data_type)
    return found if isinstance(found, str) else None


@functools.cache
def target(kernel: str, data_type: str) -> str:
    """Return the name under which a kernel is registered with XLA: kernel, dtype, and a digest of the sources."""
    library = _library(data_type)
    if isinstance(library, str):
        raise RuntimeError(f"native kernels are not available: {library}")
    name = f"rnnlm_jax_{kernel}_{data_type.lower()}_{source_digest()}"
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, kernel)), platform="cpu")
    return name


def _library(data_type: str) -> ctypes.CDLL | str:
    with _lock:
        return _load(data_type)


@functools.cache
def _load(data_type: str) -> ctypes.CDLL | str:
    """Return the loaded library, or why it cannot be loaded."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0"):
        return f"{SWITCH} is off"
    try:
        return ctypes.CDLL(str(build(data_type)))
    except NoCompilerError as error:
        return str(error)
    except (BuildError, OSError) as error:
        reason = str(error) if isinstance(error, BuildError) else f"cannot load them: {error}"
        warn(f"no native kernels, which makes this slower ({reason}): set {SWITCH}=off to silence this")
        return reason
