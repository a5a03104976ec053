"""References to a user's functions, ``FILE.py:function`` or ``module:function``, with a digest of their source.

A run records ``REFERENCE@SHA256``. Opening it executes that file; a file that was changed since is refused.
"""

import functools
import hashlib
import importlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from rnnlm_jax.errors import ConfigError, UserError
from rnnlm_jax.system.input_files import read_input

_FORM = re.compile(r"(?P<source>.+):(?P<function>[^\W\d]\w*)(@(?P<digest>[0-9a-f]{64}))?")


class Reference(NamedTuple):
    """A reference to a user's function."""

    source: str
    """A file, whose name ends in ``.py``, or a module."""
    function: str
    digest: str | None
    """The SHA-256 of the source in hexadecimal; None before it is recorded."""

    @property
    def is_file(self) -> bool:
        """Whether the source is a file and not a module."""
        return self.source.endswith(".py")


def is_reference(name: str) -> bool:
    """Return whether a name is a reference to a user's function."""
    return ":" in name


def parse(name: str) -> Reference:
    """Return the parts of a reference.

    Raises:
        ConfigError: if it has another form.
    """
    found = _FORM.fullmatch(name)
    if found is None:
        raise ConfigError(f"{name!r} does not name a function: write FILE.py:function or module:function")
    return Reference(found["source"], found["function"], found["digest"])


def recorded(name: str) -> str:
    """Return a reference with the absolute path of its file and the digest of its source, as a run records it.

    Raises:
        ConfigError: if the source does not exist.
    """
    source, function, digest = parse(name)
    if digest is not None:
        return name
    source = os.path.abspath(source) if source.endswith(".py") else source
    return f"{source}:{function}@{_digest(_content(Reference(source, function, None))[1])}"


def same_function(name: str, begun: str) -> bool:
    """Return whether a reference names the function that a run recorded, whatever its digest."""
    if not (is_reference(name) and is_reference(begun)):
        return False
    one, other = parse(name), parse(begun)
    source = os.path.abspath(one.source) if one.is_file else one.source
    return (source, one.function) == (other.source, other.function)


def load(name: str) -> Callable[..., Any]:
    """Execute the source of a reference, once in a process, and return its function.

    Raises:
        ConfigError: if the source or the function does not exist, or fails, or was changed since a run recorded it.
    """
    reference = parse(name)
    path, content = _content(reference)
    digest = _digest(content)
    if reference.digest not in (None, digest):
        raise ConfigError(
            f"{path} was changed since the run was begun (its sha256 is {digest[:12]}…, not "
            f"{reference.digest[:12] if reference.digest else ''}…): restore it from a copy, or train again"
        )
    module = _executed(path, content) if reference.is_file else _imported(reference.source)
    function = getattr(module, reference.function, None)
    if not callable(function):
        raise ConfigError(f"{path} has no function {reference.function}: name one that it has")
    return function


def _content(reference: Reference) -> tuple[str, bytes]:
    """Return the path of a source and its content."""
    path = reference.source
    if not reference.is_file:
        try:
            spec = importlib.util.find_spec(reference.source)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
            raise ConfigError(
                f"module {reference.source} with a source file was not found: install it, add its folder to "
                "PYTHONPATH, or give FILE.py:function"
            )
        path = spec.origin
    return path, read_input(path, "source file")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _imported(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # of the user's code, reported in one line
        raise ConfigError(f"module {name} failed with {type(error).__name__}: {error}; correct it") from error


@functools.cache
def _executed(path: str, content: bytes) -> types.ModuleType:
    module = types.ModuleType(f"rnnlm_jax_own_{_digest(content)[:16]}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(content, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # of the user's code, reported in one line
        del sys.modules[module.__name__]
        raise ConfigError(f"{path} failed with {type(error).__name__}: {error}; correct it") from error
    return module


def call(name: str, *args: Any, **options: Any) -> Any:
    """Call the function of a reference and return its result.

    Raises:
        ConfigError: as ``load``; or if the function does not take the arguments, or fails.
    """
    function = load(name)
    try:
        return function(*args, **options)
    except UserError as error:
        raise ConfigError(f"{shown(name)}: {error}") from error
    except Exception as error:  # of the user's code, reported in one line
        raise ConfigError(f"{shown(name)} failed with {type(error).__name__}: {error}; correct it") from error


def shown(name: str) -> str:
    """Return a reference without its digest."""
    return re.sub("@[0-9a-f]{64}$", "", name)
