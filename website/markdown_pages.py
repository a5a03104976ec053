"""A Sphinx extension for pages written for a code host: captions of figures, blank lines at the end of code."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class Captions(SphinxTransform):
    """Turn paragraphs that hold an image only into figures with the image's description below it."""

    default_priority = 210

    def apply(self, **kwargs: object) -> None:
        """Change the document in place."""
        for paragraph in list(self.document.findall(nodes.paragraph)):
            image = paragraph[0] if len(paragraph) == 1 else None
            if not isinstance(image, nodes.image):
                continue
            text = image.get("alt", "")
            caption = nodes.caption(text, text[:1].upper() + text[1:])
            figure = nodes.figure("", image.deepcopy(), caption)
            self.document.set_id(figure)
            paragraph.replace_self(figure)


class NoBlankEnds(SphinxTransform):
    """Remove the blank line at the end of a block of code, which doctest needs."""

    default_priority = 210

    def apply(self, **kwargs: object) -> None:
        """Change the document in place."""
        for block in self.document.findall(nodes.literal_block):
            block.rawsource = block.astext().rstrip()
            block.children = [nodes.Text(block.rawsource)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transforms."""
    app.add_transform(Captions)
    app.add_transform(NoBlankEnds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
