"""Clipping, update and guard in one pass over each array, on whole parameters and on a few rows of them alike."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, read_rows, write_rows
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.training.optimizer import of_cells
from rnnlm_jax.training.update_rules import Memory, update_rule

#: A gradient of at least so many slots is gone through in blocks of this many, up to the last slot that is used.
MANY_SLOTS, SLOTS_AT_ONCE = 16384, 2048

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
    one = jnp.ones_like(norm)
    factor = one
    if config.clip_norm is not None:
        limited = global_norm(gradient.cell) if config.clip_scope == "cells" else norm
        factor = jnp.where(limited < config.clip_norm, one, config.clip_norm / limited)

    def update(factor: Array, p: Array, g: Array, m: Memory) -> tuple[Array, Memory]:
        g = g * factor.astype(g.dtype)
        # The direction reads the guarded m, not what went into it: or a copy of the old one is kept until p is done.
        m = jax.tree.map(lambda new, old: jnp.where(good, new, old), rule.remember(m, g), m)
        return jnp.where(good, p - learning_rate.astype(p.dtype) * rule.direction(p, g, m, n), p), m

    leaves, structure = jax.tree.flatten(params)
    gradients = structure.flatten_up_to(gradient)
    assert rule.keeps_rest or not any(map(_is_row_gradient, gradients)), f"{config.optimizer} moves every row"
    memories = [structure.flatten_up_to(getattr(state, name)) for name in rule.names]
    is_clipped = jax.tree.leaves(of_cells(params)) if config.clip_scope == "cells" else [True] * len(leaves)
    updated = [
        _at_leaf(functools.partial(update, factor if clipped else one), p, g, tuple(m))
        for clipped, p, g, *m in zip(is_clipped, leaves, gradients, *memories, strict=True)
    ]
    if rule.names:
        new = {name: structure.unflatten([m[k] for _, m in updated]) for k, name in enumerate(rule.names)}
        count = {} if n is None else {"count": jnp.where(good, n, state.count)}
        state = state._replace(**new, **count)
    return structure.unflatten([p for p, _ in updated]), (*chain, (state, *scaling))


def _at_leaf(update: UpdateFn, p: Array, g: Array | RowGradient, m: Memory) -> tuple[Array, Memory]:
    """``update`` of a whole parameter, or of the rows that have a gradient; a row that is not good is written back."""
    if not isinstance(g, RowGradient):
        return update(p, g, m)

    def of_rows(p: Array, m: Memory, ids: Array, rows: Array) -> tuple[Array, Memory]:
        new_p, new_m = update(read_rows(p, ids), rows, tuple(read_rows(table, ids) for table in m))
        written = tuple(write_rows(table, ids, new) for table, new in zip(m, new_m, strict=True))
        return write_rows(p, ids, new_p), written

    count = g.ids.shape[0]
    if count < MANY_SLOTS:
        return of_rows(p, m, g.ids, g.rows)
    # Most slots may be empty: blocks beyond the last one that is used are not looked at.
    blocks = -(-count // SLOTS_AT_ONCE)
    ids = jnp.pad(g.ids, (0, blocks * SLOTS_AT_ONCE - count), constant_values=UNUSED)
    rows = jnp.pad(g.rows, [(0, ids.size - count)] + [(0, 0)] * (g.rows.ndim - 1))
    ids, rows = ids.reshape(blocks, -1), rows.reshape(blocks, SLOTS_AT_ONCE, *rows.shape[1:])
    used = jnp.where((ids != UNUSED).any(axis=1), jnp.arange(1, blocks + 1, dtype=jnp.int32), 0).max()
    return jax.lax.fori_loop(0, used, lambda k, both: of_rows(both[0], both[1], ids[k], rows[k]), (p, m))


def _is_row_gradient(leaf: Tree) -> bool:
    return isinstance(leaf, RowGradient)
