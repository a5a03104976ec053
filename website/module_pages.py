"""Pages of the reference: one for each package, with its public modules and all their public names."""

import importlib
import inspect
from typing import Any

from website import public_names


def reference_index() -> str:
    """Return the page that lists the public modules, with the first sentence of each."""
    text = (
        "# Reference\n\nLook up any public name: its arguments with shapes and units, what it returns, what it raises."
        " Exit codes of commands, environment variables and files of a run are on"
        " [a page of their own](../docs/reference.md).\n\n| module | contents |\n| --- | --- |\n"
    )
    for name in public_names.modules():
        described = summary(importlib.import_module(f"rnnlm_jax.{name}")).replace("``", "`").replace("|", "\\|")
        text += f"| {{py:mod}}`rnnlm_jax.{name}` | {described} |\n"
    return text


def module_page(package: str) -> str:
    """Return the page of a package in reStructuredText."""
    modules = [name for name in public_names.modules() if name.split(".")[0] == package]
    text = "" if package in modules else heading(f"rnnlm_jax.{package}", "=")
    for name in modules:
        text += heading(f"rnnlm_jax.{name}", "=" if name == package else "-") + module_section(name)
    return text


def module_section(name: str) -> str:
    """Return the docstring of a module, a table of its names, and the entry of each."""
    module = importlib.import_module(f"rnnlm_jax.{name}")
    names = public_names.names(module)
    text = f".. automodule:: rnnlm_jax.{name}\n   :no-members:\n\n"
    if names and "====" not in (module.__doc__ or ""):  # a docstring with a table of its own needs no other
        text += ".. list-table::\n   :widths: auto\n   :class: names\n\n"
        for entry in ordered(names):
            text += f"   * - :py:obj:`{entry} <rnnlm_jax.{place(name, entry)}.{entry}>`\n"
            text += f"     - {described(name, entry, names[entry])}\n"
        text += "\n"
    own = (entry for entry in ordered(names) if place(name, entry) == name)
    return text + "".join(directive(name, entry, names[entry]) for entry in own)


def place(name: str, entry: str) -> str:
    """Return the module on whose page an object is described: the first of those that have it under this name."""
    documented = public_names.documented()
    return next(module for module, names in documented.items() if names.get(entry) is documented[name][entry])


def ordered(names: dict[str, Any]) -> list[str]:
    """Return names as readers look for them: functions by the alphabet, then classes, then constants."""
    return sorted(names, key=lambda entry: (rank(names[entry]), entry.lower()))


def rank(value: Any) -> int:
    """Return 0 for a function, 1 for a class, 2 for a constant."""
    if inspect.isclass(value):
        return 1
    return 0 if inspect.isroutine(value) or hasattr(value, "__wrapped__") else 2


def described(name: str, entry: str, value: Any) -> str:
    """Return one sentence on a public name."""
    if rank(value) == 2:
        return public_names.constant_comment(f"rnnlm_jax.{name}", entry).split(". ")[0]
    return summary(value)


def summary(value: Any) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def directive(name: str, entry: str, value: Any) -> str:
    """Return the directive that describes one object."""
    full = f"rnnlm_jax.{name}.{entry}"
    if rank(value) == 2:
        return f".. py:data:: {full}\n\n   {public_names.constant_comment(f'rnnlm_jax.{name}', entry)}\n\n"
    if rank(value) == 1:
        return f".. autoclass:: {full}\n   :members:\n\n"
    return f".. autofunction:: {full}\n\n"


def heading(text: str, underline: str) -> str:
    """Return a heading of reStructuredText."""
    return f"\n{text}\n{underline * len(text)}\n\n"
