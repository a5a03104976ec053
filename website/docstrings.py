"""A Sphinx extension that reads the library's docstrings: sections, indented equations, fields without a text."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

#: A line that opens a section of a docstring; its indented lines are not an equation.
SECTION = re.compile(r"(Args|Returns|Raises|Yields):$")
SECTIONS = Config(napoleon_use_rtype=False)


def with_literal_blocks(lines: list[str]) -> list[str]:
    """Return a docstring whose indented paragraphs are literal blocks: equations and shapes, aligned by spaces.

    Indented lines right after a line of text belong to it (an item of a list); so do those of a section.
    """
    found: list[str] = []
    inside = False
    for line, before in zip(lines, ["", *lines], strict=False):
        if line and not line.startswith(" "):
            inside = line.startswith((".. ", "- ", "* ")) or line.endswith("::") or bool(SECTION.match(line))
        elif line and not before.strip() and not inside:
            found += ["::", ""]
            inside = True  # paragraphs that follow with the same indentation are in the same block
        found.append(line)
    return found


def process_docstring(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Change the lines of a docstring into reStructuredText, in place."""
    if kind in ("attribute", "property", "data"):  # they have no sections
        if lines and re.match(r"Alias for field number \d+$", lines[0]):
            lines[:] = [""]  # Python's own text on a field of a NamedTuple; its type says more
        return
    lines[:] = with_literal_blocks(lines)
    lines[:] = GoogleDocstring(lines, SECTIONS, app, kind, name, value, options).lines()


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", process_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
