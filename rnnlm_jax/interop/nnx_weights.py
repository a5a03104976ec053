"""The weights of each nnx module here: the tree of the pure functions, each array in an ``nnx.Param``."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import ArgumentError, WeightsError
from rnnlm_jax.interop.parameter_trees import fit_tree


class WeightsModule(nnx.Module):
    """A module with an attribute ``weights``: tuples of ``nnx.Param``."""

    weights: Tree

    def draw(self, init: Callable[..., Tree], rngs: nnx.Rngs, *args: Any) -> None:
        """Set the weights to ``init(key, *args)``, with a key from the stream "params".

        Raises:
            ArgumentError: for something without streams, such as a key.
        """
        if not isinstance(rngs, nnx.Rngs):
            raise ArgumentError(
                f"{type(self).__name__} draws its weights from rngs=nnx.Rngs(seed), not {type(rngs).__name__}"
            )
        params = init(rngs.params(), *args)
        # Marked as data, because nnx takes tuples for static.
        self.weights = nnx.data(jax.tree.map(lambda array: nnx.Param(jnp.asarray(array)), params))


def to_params(module: nnx.Module) -> Tree:
    """Return the parameters of a module of this package as the pure functions take them, without copies.

    Raises:
        WeightsError: for another module.
    """
    return jax.tree.map(lambda param: param.get_value(), _weights_module(module).weights, is_leaf=_is_variable)


def set_params(module: nnx.Module, params: Tree) -> None:
    """Replace a module's parameters by those of the pure functions.

    Raises:
        WeightsError: if they are those of another cell or model, or of another size.
    """
    owner = _weights_module(module)
    new = fit_tree(to_params(owner), params, f"this {type(owner).__name__}")
    jax.tree.map(lambda param, value: param.set_value(jnp.asarray(value)), owner.weights, new, is_leaf=_is_variable)


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)


def _weights_module(module: Any) -> WeightsModule:
    """Return the module itself, or the cell that it runs."""
    owner = module if isinstance(module, WeightsModule) else getattr(module, "cell", None)
    if not isinstance(owner, WeightsModule):
        raise WeightsError(f"a {type(module).__name__} has no weights: give an NnxCell, NnxRNN or NnxLanguageModel")
    return owner
