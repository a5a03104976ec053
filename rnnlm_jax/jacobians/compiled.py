"""Compilation of this package's functions: once for each shape, also where the caller has no ``jit``."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import jax.core
import numpy as np

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(*static: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function of arrays: called eagerly it is compiled, and compiled only once for the same shapes.

    Loops over closures (``lax.scan``, ``lax.while_loop``) are otherwise compiled again at each eager call. While
    another program is being traced, under the caller's ``jit`` or in a loop, the function is called as it is and
    becomes a part of that program. Under an eager ``vmap``, ``grad`` or ``jvp`` it is a compiled function that jax
    transforms. Errors that the function raises about shapes and options reach the caller unchanged.

    Args:
        static: the names of the arguments that are not arrays: cells, numbers that shapes depend on, strings,
            functions. They must be hashable.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        program = jax.jit(function, static_argnames=static)

        @functools.wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if being_traced():
                return function(*args, **kwargs)
            return program(*args, **kwargs)

        return call

    return decorate


def being_traced() -> bool:
    """Whether a program is being traced here: then even an array of constants is a tracer.

    An eager ``vmap`` or ``grad`` traces only what depends on its own arguments, and is not such a program.
    """
    return isinstance(jax.lax.iota(np.int32, 1), jax.core.Tracer)
