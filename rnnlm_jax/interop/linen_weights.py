"""The one parameter of each linen module here: the tree of the pure functions, named "weights"."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import WeightsError
from rnnlm_jax.interop.parameter_trees import fit_tree, shapes_of

#: The name of the one parameter of a module.
WEIGHTS = "weights"


def to_linen(params: Tree, *path: str) -> dict[str, Any]:
    """Return variables for ``apply`` from the parameters of a cell or a model; ``path`` leads to the submodule.

    >>> to_linen("of a cell", "cell")
    {'params': {'cell': {'weights': 'of a cell'}}}
    """
    inside: dict[str, Any] = {WEIGHTS: params}
    for name in reversed(path):
        inside = {name: inside}
    return {"params": inside}


def from_linen(variables: Mapping[str, Any], *path: str) -> Tree:
    """Return the parameters of a cell or a model from the variables of a module; ``path`` leads to the submodule.

    Raises:
        WeightsError: if "weights" does not exist at that path.
    """
    inside: Any = variables
    for name in ("params", *path, WEIGHTS):
        if not isinstance(inside, Mapping) or name not in inside:
            found = ", ".join(map(str, inside)) if isinstance(inside, Mapping) else type(inside).__name__
            raise WeightsError(f"no {name!r} on the way to {'/'.join(('params', *path, WEIGHTS))}: found {found}")
        inside = inside[name]
    return inside


def module_weights(module: nn.Module, owner: str, init: Callable[..., Tree], *init_args: Any) -> Tree:
    """Return the one parameter of a module: drawn when the module is initialised, checked otherwise."""
    if not module.has_variable("params", WEIGHTS):
        if not module.is_mutable_collection("params"):
            raise WeightsError(
                f"no weights for {owner}: give `apply` what `init` returned, or to_linen(params) for params"
            )
        return module.param(WEIGHTS, init, *init_args)
    return fit_tree(shapes_of(init, *init_args), nn.meta.unbox(module.get_variable("params", WEIGHTS)), owner)
