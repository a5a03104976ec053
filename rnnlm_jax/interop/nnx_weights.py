"""The weights of each nnx module of ours: the tree of the pure functions, each array in a parameter of its own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import UserError
from rnnlm_jax.interop.fitting import fitted


class Holder(nnx.Module):
    """A module that has ``weights``: tuples of ``nnx.Param``."""

    weights: Tree

    def draw(self, init: Callable[..., Tree], rngs: nnx.Rngs, *args: Any) -> None:
        """Hold ``init(key, *args)``, the key from the stream "params".

        Raises:
            UserError: for what has no streams, such as a key.
        """
        if not isinstance(rngs, nnx.Rngs):
            raise UserError(
                f"{type(self).__name__} draws its weights from rngs=nnx.Rngs(seed), not {type(rngs).__name__}"
            )
        self.hold(init(rngs.params(), *args))

    def hold(self, params: Tree) -> None:
        """Put each array in a variable, the tuples marked as data, since nnx takes them for static."""
        self.weights = nnx.data(jax.tree.map(lambda array: nnx.Param(jnp.asarray(array)), params))


def to_params(module: nnx.Module) -> Tree:
    """The parameters of a module of ours as its cell's or model's pure functions take them; nothing is copied.

    Raises:
        UserError: for a module without weights of ours.
    """
    return jax.tree.map(lambda param: param.get_value(), _holder(module).weights, is_leaf=_is_variable)


def set_params(module: nnx.Module, params: Tree) -> None:
    """Put parameters of the pure functions in place of a module's own.

    Raises:
        UserError: if they are those of another cell or model, or of another size.
    """
    holder = _holder(module)
    new = fitted(to_params(holder), params, f"this {type(holder).__name__}")
    jax.tree.map(lambda param, value: param.set_value(jnp.asarray(value)), holder.weights, new, is_leaf=_is_variable)


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)


def _holder(module: Any) -> Holder:
    """The module itself, or the cell that it runs."""
    holder = module if isinstance(module, Holder) else getattr(module, "cell", None)
    if not isinstance(holder, Holder):
        raise UserError(f"no weights of ours in a {type(module).__name__}: give an NnxCell, NnxRNN or NnxLanguageModel")
    return holder
