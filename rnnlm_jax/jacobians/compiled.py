"""Compilation of this package's functions: once for each shape, also where the caller has no ``jit``."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rnnlm_jax.compilation import jit, under_jit

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
        program = jit(function, computes_in_float64=True, static_argnames=static)

        @functools.wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if under_jit():
                return function(*args, **kwargs)
            return program(*args, **kwargs)

        return call

    return decorate
