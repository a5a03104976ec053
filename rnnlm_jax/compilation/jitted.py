"""``jax.jit`` with compiler options under which float64 is correct."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from rnnlm_jax.compilation import float64_fault


def jit(function: Callable[..., Any], *, computes_in_float64: bool = False, **options: Any) -> "Jitted":
    """Compile a function as ``jax.jit`` does, with options that avoid the fault of ``float64_fault``.

    Where the fault does not occur, or float64 is off, this is ``jax.jit`` itself; under the caller's ``jit``, ``grad``
    or ``vmap``, too: jax reads compiler options of the outermost ``jit`` only.

    Args:
        function: the function.
        computes_in_float64: whether it uses float64 inside even where x64 is off.
        **options: options of ``jax.jit``: static and donated arguments, shardings.
    """
    jitted = Jitted(function, computes_in_float64, options)
    functools.update_wrapper(jitted, function)
    return jitted


class Jitted:
    """A function compiled on its first call for each shape; see ``jit``."""

    def __init__(self, function: Callable[..., Any], computes_in_float64: bool, options: dict[str, Any]):
        """Prepare both forms: with default options, and with ``RIGHT_OPTIONS``."""
        self._computes_in_float64 = computes_in_float64
        self._default: Any = jax.jit(function, **options)
        self._right: Any = jax.jit(function, **options, compiler_options=float64_fault.RIGHT_OPTIONS)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the compiled function."""
        if not self._needs_right_options(args, kwargs):
            return self._default(*args, **kwargs)
        with float64_fault.right_options():
            return self._right(*args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """Lower the function for arguments of these shapes, as ``jax.jit(...).lower`` does."""
        if not self._needs_right_options(args, kwargs):
            return self._default.lower(*args, **kwargs)
        with float64_fault.right_options():
            return self._right.lower(*args, **kwargs)

    def num_compiled(self) -> int:
        """Return the number of compiled programs, one for each set of shapes, dtypes, shardings and static values."""
        return self._default._cache_size() + self._right._cache_size()

    def _needs_right_options(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        uses_float64 = self._computes_in_float64 or bool(jax.config.read("jax_enable_x64"))
        return uses_float64 and float64_fault.float64_is_miscompiled() and not is_traced((args, kwargs))


def is_traced(arguments: Any) -> bool:
    """Return whether the caller or an argument is being traced, so that a call becomes part of a program."""
    return under_jit() or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments))


def under_jit() -> bool:
    """Return whether the caller is being traced by ``jit`` or inside a loop, where every new array is a tracer.

    Under an eager ``vmap`` or ``grad`` only arrays that depend on the arguments are.
    """
    return isinstance(jax.lax.iota(np.int32, 1), Tracer)
