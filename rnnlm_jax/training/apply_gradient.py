"""Clip a gradient and update the parameters in one pass over each array, or over the rows that have a gradient."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, read_rows, write_rows
from rnnlm_jax.config import OptimizerConfig
from rnnlm_jax.training.optimizer import of_cells
from rnnlm_jax.training.update_rules import Moments, update_rule

#: A ``RowGradient`` with at least ``MANY_SLOTS`` slots is applied in blocks of ``SLOTS_AT_ONCE``, up to the last used
#: slot.
MANY_SLOTS, SLOTS_AT_ONCE = 16384, 2048

#: ``(p, g, m) -> (p, m)`` for one parameter, or for some of its rows, and its moments.
UpdateFn = Callable[[Array, Array, Moments], tuple[Array, Moments]]


def global_norm(gradient: Tree) -> Float[Array, ""]:
    """Return ``‖g‖ = √Σ g²`` over all leaves; the rows of a ``RowGradient`` must be distinct."""
    leaves = jax.tree.leaves(gradient, is_leaf=_is_row_gradient)
    return optax.tree.norm([leaf.rows if _is_row_gradient(leaf) else leaf for leaf in leaves])


def apply_gradient(
    config: OptimizerConfig,
    params: Tree,
    gradient: Tree,
    opt_state: Tree,
    *,
    learning_rate: Float[Array, ""],
    norm: Float[Array, ""],
    is_finite: Bool[Array, ""],
) -> tuple[Tree, Tree]:
    """Return parameters and optimiser state after the update of ``make_optimizer``; unchanged unless ``is_finite``.

    Clipping, update and the choice between old and new are one pass over each parameter and each of its moments, in
    place if its buffer is donated.

    Args:
        config: the optimiser.
        params: the parameters.
        gradient: a tree like the parameters, before clipping; a leaf may be a ``RowGradient`` if the rule
            ``keeps_rest``.
        opt_state: the state of ``make_optimizer``.
        learning_rate: η.
        norm: the ``global_norm`` of the gradient.
        is_finite: whether to update.
    """
    rule = update_rule(config)
    *chain, (state, *scaling) = opt_state  # ``state`` has the moments; the other parts are empty
    n = jnp.asarray(optax.safe_increment(state.count)) if rule.counts else None
    one = jnp.ones_like(norm)
    factor = one
    if config.clip_norm is not None:
        clipped_norm = global_norm(gradient.cell) if config.clip_scope == "cells" else norm
        factor = jnp.where(clipped_norm < config.clip_norm, one, config.clip_norm / clipped_norm)

    def update(factor: Array, p: Array, g: Array, m: Moments) -> tuple[Array, Moments]:
        g = g * factor.astype(g.dtype)
        # The direction reads m after jnp.where: otherwise XLA keeps a copy of the old m until p is updated.
        m = jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), rule.moments(m, g), m)
        return jnp.where(is_finite, p - learning_rate.astype(p.dtype) * rule.direction(p, g, m, n), p), m

    leaves, structure = jax.tree.flatten(params)
    gradients = structure.flatten_up_to(gradient)
    assert rule.keeps_rest or not any(map(_is_row_gradient, gradients)), f"{config.optimizer} changes every row"
    all_moments = [structure.flatten_up_to(getattr(state, name)) for name in rule.names]
    is_clipped = jax.tree.leaves(of_cells(params)) if config.clip_scope == "cells" else [True] * len(leaves)
    updated = [
        _update_leaf(functools.partial(update, factor if clipped else one), p, g, tuple(m))
        for clipped, p, g, *m in zip(is_clipped, leaves, gradients, *all_moments, strict=True)
    ]
    if rule.names:
        new = {name: structure.unflatten([m[k] for _, m in updated]) for k, name in enumerate(rule.names)}
        count = {} if n is None else {"count": jnp.where(is_finite, n, state.count)}
        state = state._replace(**new, **count)
    return structure.unflatten([p for p, _ in updated]), (*chain, (state, *scaling))


def _update_leaf(update: UpdateFn, p: Array, g: Array | RowGradient, m: Moments) -> tuple[Array, Moments]:
    """Apply ``update`` to a whole parameter, or to the rows that have a gradient."""
    if not isinstance(g, RowGradient):
        return update(p, g, m)

    def update_rows(p: Array, m: Moments, ids: Array, rows: Array) -> tuple[Array, Moments]:
        new_p, new_m = update(read_rows(p, ids), rows, tuple(read_rows(table, ids) for table in m))
        written = tuple(write_rows(table, ids, new) for table, new in zip(m, new_m, strict=True))
        return write_rows(p, ids, new_p), written

    count = g.ids.shape[0]
    if count < MANY_SLOTS:
        return update_rows(p, m, g.ids, g.rows)
    # Most slots may be empty: skip the blocks after the last used slot.
    blocks = -(-count // SLOTS_AT_ONCE)
    ids = jnp.pad(g.ids, (0, blocks * SLOTS_AT_ONCE - count), constant_values=UNUSED)
    rows = jnp.pad(g.rows, [(0, ids.size - count)] + [(0, 0)] * (g.rows.ndim - 1))
    ids, rows = ids.reshape(blocks, -1), rows.reshape(blocks, SLOTS_AT_ONCE, *rows.shape[1:])
    used = jnp.where((ids != UNUSED).any(axis=1), jnp.arange(1, blocks + 1, dtype=jnp.int32), 0).max()
    return jax.lax.fori_loop(0, used, lambda k, both: update_rows(both[0], both[1], ids[k], rows[k]), (p, m))


def _is_row_gradient(leaf: Tree) -> bool:
    return isinstance(leaf, RowGradient)
