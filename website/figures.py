"""A Sphinx extension for figures: an image that is a paragraph of its own gets its description as a caption."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class Captions(SphinxTransform):
    """Turn paragraphs that hold an image only into figures with the image's description below it."""

    default_priority = 210

    def apply(self, **kwargs: object) -> None:
        """Change the document in place."""
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if len(paragraph) != 1 or not isinstance(paragraph[0], nodes.image):
                continue
            image = paragraph[0]
            text = image.get("alt", "")
            caption = nodes.caption(text, text[:1].upper() + text[1:])
            figure = nodes.figure("", image.deepcopy(), caption)
            self.document.set_id(figure)
            paragraph.replace_self(figure)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_transform(Captions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
