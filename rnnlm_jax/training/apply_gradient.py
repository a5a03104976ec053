"""Clipping, update and guard in one pass over each array, on whole parameters and on a few rows of them alike."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.training.sparse_rows import RowGradient, read_rows, write_rows
from rnnlm_jax.training.update_rules import Memory, update_rule

#: ``(p, g, m) -> (p, m)`` for one parameter, or for rows of one, and what the rule remembers of it.
UpdateFn = Callable[[Array, Array, Memory], tuple[Array, Memory]]


def global_norm(gradient: Tree) -> Float[Array, ""]:
    """``‖g‖ = √Σ g²`` over all leaves; of a ``RowGradient`` over its rows, in which duplicates are summed already."""
    leaves = jax.tree.leaves(gradient, is_leaf=_is_row_gradient)
    return optax.tree.norm([leaf.rows if _is_row_gradient(leaf) else leaf for leaf in leaves])


def apply_gradient(
    config: OptimizerConfig,
    params: Tree,
    gradient: Tree,
    opt_state: Tree,
    learning_rate: Float[Array, ""],
    norm: Float[Array, ""],
    good: Bool[Array, ""],
) -> tuple[Tree, Tree]:
    """Parameters and optimiser state after the update of ``make_optimizer``, or as they were where not ``good``.

    Clipping, rule and guard are one pass over a parameter and one over each array the rule remembers, in place where
    its buffer is donated.

    Args:
        config: the optimiser.
        params: the parameters.
        gradient: as the parameters, before clipping; a leaf may be a ``RowGradient`` if the rule ``keeps_rest``.
        opt_state: of ``make_optimizer``.
        learning_rate: η.
        norm: the ``global_norm`` of the gradient.
        good: whether to update at all.
    """
    rule = update_rule(config)
    *chain, (state, *scaling) = opt_state  # ``state`` is what the rule itself remembers, the rest is empty
    n = jnp.asarray(optax.safe_increment(state.count)) if rule.counts else None
    factor = jnp.ones_like(norm)
    if config.clip_norm is not None:
        factor = jnp.where(norm < config.clip_norm, factor, config.clip_norm / norm)

    def update(p: Array, g: Array, m: Memory) -> tuple[Array, Memory]:
        g = g * factor.astype(g.dtype)
        # The direction reads the guarded m, not what went into it: or a copy of the old one is kept until p is done.
        m = jax.tree.map(lambda new, old: jnp.where(good, new, old), rule.remember(m, g), m)
        return jnp.where(good, p - learning_rate.astype(p.dtype) * rule.direction(p, g, m, n), p), m

    leaves, structure = jax.tree.flatten(params)
    gradients = structure.flatten_up_to(gradient)
    assert rule.keeps_rest or not any(map(_is_row_gradient, gradients)), f"{config.optimizer} moves every row"
    memories = [structure.flatten_up_to(getattr(state, name)) for name in rule.names]
    updated = [_at_leaf(update, p, g, tuple(m)) for p, g, *m in zip(leaves, gradients, *memories, strict=True)]
    if rule.names:
        new = {name: structure.unflatten([m[k] for _, m in updated]) for k, name in enumerate(rule.names)}
        count = {} if n is None else {"count": jnp.where(good, n, state.count)}
        state = state._replace(**new, **count)
    return structure.unflatten([p for p, _ in updated]), (*chain, (state, *scaling))


def _at_leaf(update: UpdateFn, p: Array, g: Array | RowGradient, m: Memory) -> tuple[Array, Memory]:
    """``update`` of a whole parameter, or of the rows that have a gradient; a row that is not good is written back."""
    if not isinstance(g, RowGradient):
        return update(p, g, m)
    new_p, new_m = update(read_rows(p, g.ids), g.rows, tuple(read_rows(table, g.ids) for table in m))
    written = tuple(write_rows(table, g.ids, rows) for table, rows in zip(m, new_m, strict=True))
    return write_rows(p, g.ids, new_p), written


def _is_row_gradient(leaf: Tree) -> bool:
    return isinstance(leaf, RowGradient)
