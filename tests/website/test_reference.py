"""The reference: every public name is described, and docstrings are read as they are written."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import rnnlm_jax
from website import public_names
from website.docstrings import as_restructured_text
from website.module_pages import module_page, place, rank, summary

ROOT = Path(__file__).parent.parent.parent
DOCUMENTED = public_names.documented()
NAMES = [(module, name) for module, names in DOCUMENTED.items() for name in names]


def test_every_public_module_has_a_page():
    modules = (set(dir(rnnlm_jax)) - set(rnnlm_jax.__all__)) | {"cells", "unroll"}
    modules = {name for name in modules if not name.startswith("_")}
    assert modules - set(public_names.packages()) == {"benchmarking"}  # a command, without public names


def test_every_name_that_the_documents_import_is_in_the_reference():
    described = [value for names in DOCUMENTED.values() for value in names.values()]
    missing = set()
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for module, names in re.findall(r"^(?:>>> )?from (rnnlm_jax[\w.]*) import ([\w, ]+)$", page.read_text(), re.M):
            for name in names.split(", "):
                value = getattr(importlib.import_module(module), name, None)
                if value is None:
                    value = importlib.import_module(f"{module}.{name}")
                if not inspect.ismodule(value) and not any(value is one for one in described):
                    missing.add(f"{module}.{name}")
    assert missing == set()


@pytest.mark.parametrize("package", public_names.packages())
def test_every_name_has_one_entry(package):
    page = module_page(package)
    entries = re.findall(r"^\.\. (?:autofunction|autoclass|py:data):: (\S+)$", page, re.M)
    expected = [f"rnnlm_jax.{m}.{n}" for m, n in NAMES if m.split(".")[0] == package and place(m, n) == m]
    assert sorted(entries) == sorted(expected)


def test_every_name_is_described():
    silent = []
    for module, name in NAMES:
        value = DOCUMENTED[module][name]
        constant = rank(value) == 2
        text = public_names.constant_comment(f"rnnlm_jax.{module}", name) if constant else summary(value)
        silent += [] if text else [f"{module}.{name}"]
    assert silent == [], 'a constant needs a comment that begins with "#:"'


def test_documented_arguments_are_arguments():
    wrong = []
    for module, name in NAMES:
        value = DOCUMENTED[module][name]
        if rank(value) == 0:
            text = as_restructured_text((inspect.getdoc(value) or "").splitlines())
            arguments = {found for line in text for found in re.findall(r"^:param (?:\\\*)*(\w+):", line)}
            wrong += [f"{module}.{name}: {extra}" for extra in arguments - set(inspect.signature(value).parameters)]
    assert wrong == []


def test_a_docstring_becomes_restructured_text():
    written = """Return y.

        y = x + b

    Args:
        x, b: numbers
            of any size.
        **options: more.

    Returns:
        y, which
        is new.

    Raises:
        ArgumentError: if x: is odd.
    """
    assert as_restructured_text(inspect.cleandoc(written).splitlines()) == [
        "Return y.",
        "",
        "::",
        "",
        "    y = x + b",
        "",
        "",
        ":param x: numbers",
        "        of any size.",
        ":param b: numbers",
        "        of any size.",
        r":param \*\*options: more.",
        "",
        "",
        "",
        ":returns: y, which",
        "    is new.",
        "",
        "",
        "",
        ":raises ArgumentError: if x: is odd.",
        "",
    ]


def test_lists_and_directives_are_kept():
    lines = ["- one", "  goes on", "", "  and on", "", ".. [1] note", "", "   more"]
    assert as_restructured_text(lines) == lines


def test_a_section_without_a_name_is_an_error():
    with pytest.raises(ValueError, match="in place of a name"):
        as_restructured_text(["Return y.", "", "Args:", "    the number"])
