"""A decorator that compiles the public functions of this package once per shape, also without the caller's ``jit``."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rnnlm_jax.compilation import jit, under_jit

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(*static: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function of arrays so that eager calls compile it, once per set of shapes.

    Without it, each eager call would compile the loops (``lax.scan``, ``lax.while_loop``) of the function again, since
    their bodies are new closures. While another program is traced, under the caller's ``jit`` or in a loop, the
    function runs as it is and becomes a part of that program. Under an eager ``vmap``, ``grad`` or ``jvp``, jax
    transforms the compiled function. Errors about shapes and options reach the caller unchanged.

    Args:
        static: names of the arguments that are not arrays (cells, numbers that shapes depend on, strings, functions);
            they must be hashable.
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
