"""Names of the leaves of a tree."""

from typing import Any

import jax


def path_name(path: Any) -> str:
    """Return the name of a leaf from its path in a tree: ``cell.0.w_h``."""
    return jax.tree_util.keystr(path, simple=True, separator=".")
