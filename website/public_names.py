"""The public names of the library: those that modules list in ``__all__``, and those of modules without a list."""

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).parent.parent / "rnnlm_jax"

#: Modules that the documentation imports from and that have no ``__all__``: what they define is public.
WITHOUT_LIST = (
    "arrays.activations",
    "cells.state_jacobian",
    "errors",
    "interop.torch_language_model",
    "jobs.sharding.mesh",
    "jobs.sharding.placement",
    "language_model.model",
    "language_model.parameters",
    "presets",
    "system.progress",
    "training.train",
)


@functools.cache
def modules() -> tuple[str, ...]:
    """Return the names of all public modules, without ``rnnlm_jax.`` before them, a package before its modules."""
    listing = {path for path in PACKAGE.rglob("*.py") if re.search(r"^__all__ = ", path.read_text(), re.MULTILINE)}
    paths = {path.parent if path.name == "__init__.py" else path.with_suffix("") for path in listing}
    names = {".".join(path.relative_to(PACKAGE).parts) for path in paths - {PACKAGE}}
    return tuple(sorted(names | set(WITHOUT_LIST)))


@functools.cache
def packages() -> tuple[str, ...]:
    """Return the packages, and modules outside packages, that public modules are in: a page of the reference each."""
    return tuple(sorted({name.split(".")[0] for name in modules()}))


def names(module: ModuleType) -> dict[str, Any]:
    """Return the public names of a module with their objects.

    Left out are modules, which have sections of their own, and what belongs to other libraries (``jax.Array``).
    """
    if hasattr(module, "__all__"):
        listed = {name: getattr(module, name) for name in module.__all__}
        return {name: value for name, value in listed.items() if not inspect.ismodule(value) and _is_ours(value)}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def _is_ours(value: Any) -> bool:
    """Return whether an object is defined in this library, or is a constant."""
    return getattr(value, "__module__", "rnnlm_jax").startswith("rnnlm_jax")


@functools.cache
def documented() -> dict[str, dict[str, Any]]:
    """Return the public names of every public module, by the name of the module."""
    return {name: names(importlib.import_module(f"rnnlm_jax.{name}")) for name in modules()}


def constant_comment(module: str, name: str) -> str:
    """Return the comment ``#: …`` above a constant of a public module, which may have imported it.

    Args:
        module: the full name of a module.
        name: the constant.
    """
    source = inspect.getsource(importlib.import_module(module))
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return constant_comment(node.module, name)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        assigned = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if name in assigned:
            lines = source.splitlines()[: node.lineno - 1]
            comment = []
            while lines and lines[-1].startswith("#:"):
                comment.insert(0, lines.pop().removeprefix("#:").strip())
            return " ".join(comment)
    raise LookupError(f"{module} defines no {name}")
