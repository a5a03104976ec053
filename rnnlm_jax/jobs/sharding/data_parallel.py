"""A batch divided over the axis ``data``: each device runs the one-device program on its columns, and sums follow.

Inside, ``data`` is an axis of our own (``shard_map``), so that rows are sorted, cut into chunks and looped over where
they are, and nothing of them travels; the compiler divides what remains over ``model``.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.arrays.sparse_rows import RowGradient, sum_duplicate_rows
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.jobs.sharding.mesh import AXES, DATA, MODEL
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams, Scored

_EVERYWHERE = PartitionSpec()
_COLUMNS = PartitionSpec(None, DATA)  # of [T, B]
_ROWS = PartitionSpec(DATA)  # of [B, ...]


def divided_loss_and_gradient(
    mesh: Mesh,
    model: LanguageModel,
    params: LanguageModelParams,
    state: Tree,
    batch: Batch,
    key: Key | None,
    over: Array | int,
    by_row: bool,
) -> tuple[tuple[Float[Array, ""], Scored], LanguageModelParams]:
    """``loss_and_gradient`` with the batch divided over a mesh: ``Σ_d ∂J_d`` over the devices d along ``data``.

    Dropout and sampled words are those of one device. Rows of a table that several devices have a gradient of are
    summed, each being named once; arguments are those of ``loss_and_gradient``.
    """
    parts = mesh.shape[DATA]
    if parts == 1:  # nothing to divide by hand, and XLA has no axis of one device to itself
        return loss_and_gradient(model, params, state, batch, key, over, by_row, anchor=anchor(mesh, None))
    local_model = dataclasses.replace(model, dropout=dataclasses.replace(model.dropout, divided_over=DATA))

    def local(params: Tree, state: Tree, batch: Batch, key: Key | None, over: Array) -> tuple[Any, ...]:
        (mean, scored), gradient = loss_and_gradient(
            local_model, params, state, batch, key, over, by_row, parts, anchor(mesh, DATA)
        )
        mean, tokens = lax.psum((mean, scored.tokens), DATA)
        return mean, tokens, scored.state, _summed(gradient)

    mean, tokens, after, gradient = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _ROWS, _COLUMNS, _EVERYWHERE, _EVERYWHERE),
        out_specs=(_EVERYWHERE, _EVERYWHERE, _ROWS, _EVERYWHERE),
        axis_names=manual_axes(mesh),
        check_vma=False,
    )(params, state, jax.tree.map(jnp.asarray, batch), key, jnp.asarray(over))
    return (mean, Scored(tokens, after)), gradient


def manual_axes(mesh: Mesh) -> set[str]:
    """The axes that a program divides by itself.

    Where ``model`` has one device nothing is left to the compiler, and a device's program may call kernels.
    """
    return set(AXES) if mesh.shape[MODEL] == 1 else {DATA}


def anchor(mesh: Mesh, manual: str | None) -> Callable[[Array], Array]:
    """Keeps the cells whole: XLA would go on dividing a table's width through them, and talk at every step of time.

    Args:
        mesh: the mesh.
        manual: the axis that the program divides by itself, under ``shard_map``; None: no axis, outside of it.
    """
    if mesh.shape[MODEL] == 1:
        return lambda array: array
    # Under shard_map the mesh is that of the surroundings.
    whole = NamedSharding(mesh, _EVERYWHERE) if manual is None else _EVERYWHERE
    return lambda array: lax.with_sharding_constraint(array, whole)


def _summed(gradient: Tree) -> Tree:
    """The gradient summed over the devices along ``data``; of rows, those of all devices, duplicates summed."""

    def total(leaf: Array | RowGradient) -> Array | RowGradient:
        if not isinstance(leaf, RowGradient):
            return lax.psum(leaf, DATA)
        ids, rows = (lax.all_gather(part, DATA, tiled=True) for part in leaf)
        return sum_duplicate_rows(ids, rows)

    return jax.tree.map(total, gradient, is_leaf=lambda leaf: isinstance(leaf, RowGradient))
