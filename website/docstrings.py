"""A Sphinx extension that reads the library's docstrings: their sections, indented equations, fields without a text."""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: Headings of a docstring's sections, and the fields of reStructuredText that their entries become.
SECTIONS = {"Args:": "param", "Attributes:": "param", "Returns:": "returns", "Yields:": "yields", "Raises:": "raises"}
#: The beginning of an entry of a section: the names of arguments or of an error, then its text.
ENTRY = re.compile(r"(\*{0,2}\w[\w.]*(?:, \*{0,2}\w+)*): (.*)")


def as_restructured_text(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText.

    Entries of sections become fields. Other indented paragraphs become literal blocks: they are equations and shapes,
    aligned by spaces. Indented lines right after a line of text belong to it, as in a list.
    """
    found: list[str] = []
    inside = False  # a list, a directive or a literal block, whose indented paragraphs belong to it
    index = 0
    while index < len(lines):
        line = lines[index]
        if line in SECTIONS:
            section = list(takewhile(lambda later: later.startswith("    ") or not later, lines[index + 1 :]))
            found += ["", *fields(SECTIONS[line], [later[4:] for later in section]), ""]
            index += 1 + len(section)
            continue
        if line and not line.startswith(" "):
            inside = line.startswith((".. ", "- ", "* ", ">>> ")) or line.endswith("::")
        elif line and not inside and not lines[index - 1].strip():
            found += ["::", ""]
            inside = True
        found.append(line)
        index += 1
    return found


def fields(kind: str, section: list[str]) -> Iterator[str]:
    """Yield the lines of a section as fields: one for what is returned, otherwise one for each name."""
    if kind in ("returns", "yields"):
        yield f":{kind}: {section[0]}"
        yield from (f"    {line}".rstrip() for line in section[1:])
        return
    entries: list[tuple[str, list[str]]] = []
    for line in section:
        matched = ENTRY.match(line)
        if matched:
            entries.append((matched[1], [matched[2]]))
        elif entries:
            entries[-1][1].append(line)
        else:
            raise ValueError(f"a section begins with {line!r} in place of a name and a colon")
    for names, (first, *others) in entries:
        for name in names.replace("*", r"\*").split(", "):
            yield f":{kind} {name}: {first}"
            yield from (f"    {line}".rstrip() for line in others)


def process_docstring(app: "Sphinx", kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Change the lines of a docstring in place."""
    if lines and re.match(r"Alias for field number \d+$", lines[0]):
        lines[:] = [""]  # Python's own text on a field of a NamedTuple; its type says more
    lines[:] = as_restructured_text(lines)


def setup(app: "Sphinx") -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", process_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
