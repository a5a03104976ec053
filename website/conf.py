"""Configuration of Sphinx: https://www.sphinx-doc.org/en/master/usage/configuration.html."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from rnnlm_jax.version import __version__  # noqa: E402
from website.sources import repository  # noqa: E402

project = "rnnlm_jax"
author = "rnnlm_jax developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "website.cross_references",
    "website.docstrings",
    "website.markdown_pages",
]
root_doc = "index"
default_role = "code"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "rnnlm_jax"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "icon_links": [
        {
            "name": "Source",
            "url": repository().removesuffix("/blob/main"),
            "icon": "fa-brands fa-github",
        }
    ],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "docs/course": []}
