"""Any row-wise optax rule on the rows of a table that have a gradient, and on whole arrays elsewhere.

A batch reads few rows of a large table. A rule that treats every row alike, and leaves a row without gradient as it is,
gives the same numbers when it is run on the rows with a gradient alone: on those rows of the parameter, of the gradient
and of each array of its state that is shaped like the parameter.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, dense_gradient, is_row_gradient, read_rows, write_rows
from rnnlm_jax.compilation import jit


def by_rows(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let a rule take a ``RowGradient`` for a leaf of the gradient.

    The rule sees the rows in place of the table, so that a ``clip_by_global_norm`` inside it has the norm of the dense
    gradient: duplicate rows are summed already, unused slots are zero. The update of such a leaf is a ``RowGradient``
    again, which ``optax.apply_updates`` adds to the table. The state is that of the rule on whole parameters.

    Args:
        rule: the transformation, for which ``updates_by_row`` holds if any leaf of a gradient is a ``RowGradient``.
    """
    rule = with_promotion(rule)

    def update(updates: Tree, state: Tree, params: Tree = None, **extra_args: Any) -> tuple[Tree, Tree]:
        gradient = updates
        if not any(map(is_row_gradient, jax.tree.leaves(gradient, is_leaf=is_row_gradient))):
            return rule.update(gradient, state, params, **extra_args)
        slots = optax.tree_map_params(
            rule,
            lambda array, g: _Slots(g.ids if is_row_gradient(g) and not _is_masked(array) else None),
            state,
            gradient,
            transform_non_params=lambda _: _Slots(None),
            is_leaf=_is_masked,
        )
        given = jax.tree.map(lambda g: g.rows if is_row_gradient(g) else g, gradient, is_leaf=is_row_gradient)
        rows = jax.tree.map(lambda p, g: read_rows(p, g.ids) if is_row_gradient(g) else p, params, gradient)
        moved, after = rule.update(given, jax.tree.map(_Slots.read, slots, state), rows, **extra_args)
        moved = jax.tree.map(lambda u, g: RowGradient(g.ids, u) if is_row_gradient(g) else u, moved, gradient)
        return moved, jax.tree.map(_Slots.write, slots, state, after)

    return optax.GradientTransformationExtraArgs(rule.init, update)


def with_promotion(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let a rule promote types and ranks as optax's own do, also where jax is set to refuse that."""
    rule = optax.with_extra_args_support(rule)

    def init(params: Tree) -> Tree:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return rule.init(params)

    def update(updates: Tree, state: Tree, params: Tree = None, **extra_args: Any) -> tuple[Tree, Tree]:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return rule.update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(init, update)


def _is_masked(node: object) -> bool:
    """Return whether a node of a rule's state stands for a parameter that ``optax.masked`` leaves out."""
    return isinstance(node, optax.MaskedNode)


def global_norm(gradient: Tree) -> Float[Array, ""]:
    """Return ``‖g‖ = √Σ g²`` over all leaves; the rows of a ``RowGradient`` are distinct."""
    leaves = jax.tree.leaves(gradient, is_leaf=is_row_gradient)
    return optax.tree.norm([leaf.rows if is_row_gradient(leaf) else leaf for leaf in leaves])


def scaled_updates(updates: Tree, factor: Float[Array, ""]) -> Tree:
    """Return updates, some of them of rows, multiplied by a factor."""

    def scaled(update: Any) -> Any:
        if is_row_gradient(update):
            return update._replace(rows=update.rows * factor.astype(update.rows.dtype))
        return update * factor.astype(update.dtype)

    return jax.tree.map(scaled, updates, is_leaf=is_row_gradient)


class _Slots:
    """Which rows of one array of a rule's state are read and written; all of it where ``ids`` is None."""

    def __init__(self, ids: Array | None) -> None:
        self.ids = ids

    def read(self, table: Array) -> Array:
        return table if self.ids is None else read_rows(table, self.ids)

    def write(self, table: Array, new: Array) -> Array:
        return new if self.ids is None else write_rows(table, self.ids, new)


class _Shape:
    """The shape of one parameter of a small problem; a leaf of a tree."""

    def __init__(self, shape: tuple[int, ...], is_table: bool) -> None:
        self.shape, self.is_table = shape, is_table


class _Probe(NamedTuple):
    """Parameters of a small problem: a table of which few rows have a gradient, and a matrix."""

    table: Tree
    matrix: Tree


#: The shapes of a small problem, and which of its leaves have row gradients.
_PROBE = _Probe(jax.ShapeDtypeStruct((6, 4), jnp.float32), jax.ShapeDtypeStruct((4, 3), jnp.float32))
_PROBE_TABLES = _Probe(True, False)


def updates_by_row(rule: optax.GradientTransformation, shapes: Tree = _PROBE, are_tables: Tree = _PROBE_TABLES) -> bool:
    """Return whether ``by_rows(rule)`` gives the numbers of the dense gradient, as a trial of three updates shows.

    It does for stochastic gradient descent and AdaGrad; it does not for rules that move a parameter whose gradient is
    zero (momentum, Adam, weight decay) or that mix rows (factored second moments, norms of a layer, Muon).

    Args:
        rule: the transformation.
        shapes: the parameters or their shapes, of which the trial has the structure but fewer numbers: a rule may treat
            parameters differently, such as weight decay with a mask.
        are_tables: a tree like ``shapes`` that is True where a gradient may be a ``RowGradient``.
    """
    draw = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return jnp.asarray(draw.normal(size=shape), jnp.float32)

    def small(leaf: Any, is_table: bool) -> tuple[int, ...]:
        sizes = [min(size, 4) for size in leaf.shape]
        return (6, *sizes[1:]) if is_table else tuple(sizes)

    sizes = jax.tree.map(lambda leaf, is_table: _Shape(small(leaf, is_table), is_table), shapes, are_tables)
    params = jax.tree.map(lambda leaf: normal(*leaf.shape), sizes)
    gradients = [
        jax.tree.map(
            lambda leaf, ids=ids: (
                _row_gradient(ids, normal(3, *leaf.shape[1:])) if leaf.is_table else normal(*leaf.shape)
            ),
            sizes,
        )
        for ids in ([0, 2, UNUSED], [2, 3, 5], [1, UNUSED, UNUSED])
    ]

    @functools.partial(jit, static_argnums=0)
    def run(dense: bool) -> Tree:
        """Return the updates, as arrays, and the last state."""
        p, state, all_moved = params, rule.init(params), []
        for gradient in gradients:
            g = dense_gradient(gradient, p) if dense else gradient
            moved, state = by_rows(rule).update(g, state, p)
            p: Any = optax.apply_updates(p, moved)
            all_moved.append(dense_gradient(moved, p))
        return all_moved, state

    def are_close(a: Array, b: Array) -> bool:
        """Compare with the largest number: some rules make small updates at first."""
        one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return bool(np.abs(one - other).max() <= 1e-4 * np.abs(other).max())

    try:
        found, expected = run(False), run(True)
    except Exception:  # of a user's rule, which may need the table's shape; with dense gradients it is raised again
        return False
    return all(map(are_close, jax.tree.leaves(found), jax.tree.leaves(expected)))


def _row_gradient(ids: list[int], rows: Array) -> Any:
    """Return the gradient of some rows, zero in unused slots."""
    used = jnp.asarray([float(row != UNUSED) for row in ids], jnp.float32)
    return RowGradient(jnp.asarray(ids, jnp.int32), rows * used.reshape(-1, *[1] * (rows.ndim - 1)))
