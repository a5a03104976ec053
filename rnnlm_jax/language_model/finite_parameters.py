"""Check of parameters that are not finite."""

import jax
import numpy as np

from rnnlm_jax.array_types import Tree
from rnnlm_jax.arrays.leaf_names import path_name
from rnnlm_jax.errors import CheckpointError


def require_finite(params: Tree, name: str) -> None:
    """Check that every parameter is a finite number.

    Args:
        params: parameters.
        name: name of the model, for the message.

    Raises:
        CheckpointError: naming the first array that has other numbers.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if not np.isfinite(np.asarray(leaf)).all():
            where = path_name(path)
            raise CheckpointError(
                f"the parameters of {name} are not finite ({where}): use an earlier checkpoint, or train again"
            )
