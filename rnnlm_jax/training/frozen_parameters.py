"""Train some parameters and leave the others exactly as they are."""

from typing import Any

import jax
import optax

from rnnlm_jax.array_types import Tree
from rnnlm_jax.errors import ConfigError
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.training.guard import no_update
from rnnlm_jax.training.leaf_patterns import leaf_names, matches, select_leaves, split_patterns


class FrozenTransformation(optax.GradientTransformationExtraArgs):
    """A transformation that leaves the parameters that ``patterns`` match alone."""

    patterns: str


def patterns_of(optimizer: optax.GradientTransformation) -> str | None:
    """Return the patterns of parameters that an optimiser leaves alone; None unless ``frozen`` made it."""
    return optimizer.patterns if isinstance(optimizer, FrozenTransformation) else None


def frozen(optimizer: optax.GradientTransformation, patterns: str) -> FrozenTransformation:
    """Let an optimiser update all parameters except those that patterns match.

    The optimiser does not see a frozen parameter at all: neither its gradient nor weight decay nor momentum moves it,
    ``init`` allocates no state for it, and the norm of ``optax.clip_by_global_norm`` inside the optimiser leaves it
    out. Make this the outermost transformation of a chain. Without a reader, XLA does not compute its gradient either.

    The update of a frozen parameter is ``no_update``, which keeps its bits.

    Args:
        optimizer: the transformation of the other parameters.
        patterns: patterns over the names of leaves, separated by commas; see ``leaf_patterns.matches``.

    Returns:
        a transformation whose ``update`` takes a ``RowGradient`` for a leaf if ``optimizer`` does, and needs ``params``
        if the gradient of a frozen leaf is one.
    """
    each = split_patterns(patterns)
    inner = optax.masked(optimizer, lambda tree: _is_trained(tree, each))

    def update(updates: Tree, state: Tree, params: Tree = None, **extra_args: Any) -> tuple[Tree, Tree]:
        moved, state = inner.update(updates, state, params, **extra_args)
        like = updates if params is None else params

        def choose(trained: bool, update: Tree, leaf: Tree) -> Tree:
            return update if trained else jax.tree.map(no_update, leaf)

        return jax.tree.map(choose, _is_trained(updates, each), moved, like), state

    made = FrozenTransformation(inner.init, update)
    made.patterns = patterns
    return made


def without_frozen(tree: Tree, patterns: str | None) -> Tree:
    """Return a tree like the parameters without the leaves that patterns match, as the optimiser in ``frozen`` sees it.

    Its ``global_norm`` is the norm by which gradients are clipped. It has no leaf where the parameter is frozen.

    Args:
        tree: a tree like the parameters, such as a gradient or shardings.
        patterns: patterns over the names of leaves, separated by commas; None: nothing is frozen.
    """
    if patterns is None:
        return tree
    trained = _is_trained(tree, split_patterns(patterns))
    return jax.tree.map(lambda kept, leaf: leaf if kept else optax.MaskedNode(), trained, tree)


def _is_trained(tree: Tree, patterns: tuple[str, ...]) -> Tree:
    """Return a tree of truth values: whether a leaf is trained."""
    return jax.tree.map(lambda name: not matches(name, patterns), leaf_names(tree))


def frozen_leaves(model: LanguageModel, patterns: str | None) -> tuple[str, ...]:
    """Return the names of a model's frozen parameters.

    Raises:
        ConfigError: if a pattern matches no parameter, or all parameters are frozen.
    """
    if patterns is None:
        return ()
    names = jax.tree.leaves(leaf_names(jax.eval_shape(model.init, jax.random.key(0))))
    found = select_leaves(names, patterns, option="freeze")
    if len(found) == len(names):
        raise ConfigError(f"`freeze` {patterns} leaves nothing to train: this model has {', '.join(names)}")
    return found
