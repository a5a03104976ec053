"""Check the shapes that the library's annotations state, at each call, throughout the suite.

The import hook of jaxtyping decorates every function; ``check_arrays`` is the checker it uses. Only annotations with an
array in them are checked: ``int`` or ``str`` arguments are validated by the library itself, whose messages tests read.
"""

import collections.abc
import contextlib
import functools
import operator
import types
import typing

import beartype
import jaxtyping
import pytest
from jaxtyping import AbstractArray, install_import_hook


def of_any_array(annotation):
    """Return an annotation with anything allowed for jax's arrays that has their shape; None if it has no array.

    Functions that say ``Array`` are also given NumPy's arrays and ``jax.ShapeDtypeStruct``, of which shape and kind of
    number are checked, and lists, which are not.
    """
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        kind = getattr(jaxtyping, annotation.__name__.partition("[")[0])
        return kind[typing.Any, annotation.dim_str] | list | tuple | int | float
    parts = [(part, of_any_array(part)) for part in typing.get_args(annotation)]
    if all(new is None for _, new in parts) or typing.get_origin(annotation) is collections.abc.Callable:
        return None
    rebuilt = tuple(part if new is None else new for part, new in parts)
    if isinstance(annotation, types.UnionType):
        return functools.reduce(operator.or_, rebuilt)
    return typing.get_origin(annotation)[rebuilt]


def check_arrays(function):
    """Decorate a function so that beartype checks those of its annotations that have an array in them."""
    hints = {name: of_any_array(hint) for name, hint in function.__annotations__.items()}
    function.__annotations__ = {name: hint for name, hint in hints.items() if hint is not None}
    return beartype.beartype(function) if function.__annotations__ else function


@contextlib.contextmanager
def unchecked():
    """Run a block without the checks: what it calls is meant to refuse arguments of wrong shapes itself."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def install():
    """Check the library from now on; before it is imported. A block of ``pytest.raises`` is left unchecked."""
    install_import_hook("rnnlm_jax", "tests.shape_checking.check_arrays")
    raises = pytest.raises

    def raises_unchecked(*args, **kwargs):
        if len(args) > 1 or "func" in kwargs:
            return raises(*args, **kwargs)
        return _both(raises(*args, **kwargs))

    pytest.raises = raises_unchecked


@contextlib.contextmanager
def _both(raising):
    with raising as info, unchecked():
        yield info
