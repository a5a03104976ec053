"""Parameters that can be used at all."""

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import UserError


def require_finite(params: Tree, name: str) -> None:
    """Check that every parameter is a finite number.

    Raises:
        UserError: naming the first array of ``name``'s that is not.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if not np.isfinite(np.asarray(leaf)).all():
            where = jax.tree_util.keystr(path, simple=True, separator=".")
            raise UserError(
                f"the parameters of {name} are not finite ({where}): use an earlier checkpoint, or train again"
            )
