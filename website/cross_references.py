"""A Sphinx extension that links names in the text: `jacobians.spectrum` leads to its entry of the reference."""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

from website.public_names import packages

#: A name, perhaps with its module before it, perhaps called.
NAME = re.compile(r"([A-Za-z_][\w.]*)(\(.*\))?$")
#: A name that is not an English word by chance: with an underscore inside, or a capital after a small letter.
UNMISTAKABLE = re.compile(r"\w+_\w|\w*[a-z][A-Z]|[A-Z]{2,}\w*[a-z]")


class References:
    """The public names of the reference, and where each is documented."""

    def __init__(self, app: Sphinx) -> None:
        """Take the names from Sphinx's list of all documented objects."""
        objects = app.env.domains.python_domain.objects
        self.places = {
            name: entry for name, entry in objects.items() if entry.objtype != "module" and not entry.aliased
        }
        self.by_last: dict[str, list[str]] = {}
        for name, entry in self.places.items():
            if entry.objtype in ("function", "class", "exception"):
                self.by_last.setdefault(name.rpartition(".")[2], []).append(name)

    def find(self, text: str, page: str) -> str | None:
        """Return the full name of the object that a text on a page names, or None.

        On the page ``docs/jacobians`` and on the reference of a module, its names need no module before them.
        Elsewhere a bare name is found if one module has it and it cannot be a word.
        """
        matched = NAME.match(text)
        if matched is None:
            return None
        name = matched[1].removeprefix("rnnlm_jax.")
        own = page.rpartition("/")[2]
        candidates = [f"rnnlm_jax.{name}"] if "." in name else [f"rnnlm_jax.{name}.{name}"]  # such as unroll
        if own in packages():
            candidates.append(f"rnnlm_jax.{own}.{name}")
        named = self.by_last.get(name, [])
        if len(named) == 1 and UNMISTAKABLE.match(name):
            candidates += named
        return next((candidate for candidate in candidates if candidate in self.places), None)


def link_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put links around the names in the text of a page, headings and entries of the object itself left out."""
    references = References(app)
    for literal in list(doctree.findall(nodes.literal)):
        parents = (nodes.reference, nodes.title)
        if any(isinstance(parent, parents) for parent in _parents(literal)):
            continue
        name = references.find(literal.astext(), page)
        if name is None:
            continue
        place = references.places[name]
        link = make_refnode(app.builder, page, place.docname, place.node_id, literal.deepcopy(), name)
        literal.replace_self(link)


def _parents(node: nodes.Node) -> list[nodes.Node]:
    """Return all nodes around a node."""
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the event after all references of a page are known."""
    app.connect("doctree-resolved", link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
