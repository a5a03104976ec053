"""A training step with its batch sharded over the mesh axis ``data``.

Each device runs the one-device program on its columns, under ``shard_map`` with ``data`` as a manual axis, so that rows
are sorted, cut into chunks and looped over without communication; then gradients are summed. The compiler shards what
remains over ``model``.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.sparse_rows import RowGradient, is_row_gradient, sum_duplicate_rows
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.jobs.sharding.mesh import AXES, DATA, MODEL
from rnnlm_jax.language_model.accumulation import accumulated_loss_and_gradient
from rnnlm_jax.language_model.loss_gradient import AnchorFn, unanchored
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Scored
from rnnlm_jax.regularizers import Regularizer

_REPLICATED = PartitionSpec()
_COLUMNS = PartitionSpec(None, DATA)  # of [T, B]
_ROWS = PartitionSpec(DATA)  # of [B, ...]


def sharded_loss_and_gradient(
    mesh: Mesh,
    model: LanguageModel,
    params: LanguageModelParams,
    state: Tree,
    batch: Batch,
    key: Key | None,
    *,
    normaliser: Array | int,
    by_row: bool,
    accumulate: int = 1,
    padded: bool = False,
    regularizers: Sequence[Regularizer] = (),
    label_smoothing: float = 0.0,
    step: Int[Array, ""] | None = None,
) -> tuple[tuple[Float[Array, ""], Scored], LanguageModelParams]:
    """Return the loss and gradient of a batch sharded over a mesh: ``Σ_d ∂J_d`` over the devices d along ``data``.

    Dropout masks and sampled words are those of one device. Gradients of a table's row from several devices are summed,
    and each row is named once. Arguments are those of ``accumulated_loss_and_gradient``; each device cuts its own
    columns into parts.
    """
    parts = mesh.shape[DATA]
    options: dict[str, Any] = {
        "by_row": by_row,
        "accumulate": accumulate,
        "padded": padded,
        "regularizers": regularizers,
        "label_smoothing": label_smoothing,
    }
    if parts == 1:  # XLA has no manual axis of one device
        options |= {"normaliser": normaliser, "step": step, "anchor": replicated_anchor(mesh, None)}
        return accumulated_loss_and_gradient(model, params, state, batch, key, **options)
    local_model = dataclasses.replace(model, dropout=dataclasses.replace(model.dropout, sharded_over=DATA))
    options |= {"parts": parts, "anchor": replicated_anchor(mesh, DATA)}

    def local(
        params: Tree, state: Tree, batch: Batch, key: Key | None, normaliser: Array, step: Array | None
    ) -> tuple[Any, ...]:
        (mean, scored), gradient = accumulated_loss_and_gradient(
            local_model, params, state, batch, key, normaliser=normaliser, step=step, **options
        )
        totals = lax.psum((mean, scored.tokens, scored.penalties), DATA)
        return totals, scored.state, _summed(gradient)

    (mean, tokens, penalties), after, gradient = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(_REPLICATED, _ROWS, _COLUMNS, _REPLICATED, _REPLICATED, _REPLICATED),
        out_specs=(_REPLICATED, _ROWS, _REPLICATED),
        axis_names=manual_axes(mesh),
        check_vma=False,
    )(params, state, jax.tree.map(jnp.asarray, batch), key, jnp.asarray(normaliser), step)
    return (mean, Scored(tokens, after, penalties)), gradient


def manual_axes(mesh: Mesh) -> set[str]:
    """Return the mesh axes that a program shards by itself, under ``shard_map``.

    Where ``model`` has one device nothing is left to the compiler, and a device's program may call kernels.
    """
    return set(AXES) if mesh.shape[MODEL] == 1 else {DATA}


def replicated_anchor(mesh: Mesh, manual: str | None) -> AnchorFn:
    """Return a function that keeps arrays replicated over ``model``.

    Applied to inputs and outputs of the cells, it keeps XLA from sharding a table's width through the recurrence, which
    would communicate at every step of time.

    Args:
        mesh: the mesh.
        manual: the manual axis of the surrounding ``shard_map``; None outside of one.
    """
    if mesh.shape[MODEL] == 1:
        return unanchored
    # Under shard_map the mesh is that of its context.
    sharding = NamedSharding(mesh, _REPLICATED) if manual is None else _REPLICATED
    return lambda array: lax.with_sharding_constraint(array, sharding)


def _summed(gradient: Tree) -> Tree:
    """Return the gradient summed over the devices along ``data``; gradients by row are gathered, duplicates summed."""

    def total(leaf: Array | RowGradient) -> Array | RowGradient:
        if not isinstance(leaf, RowGradient):
            return lax.psum(leaf, DATA)
        ids, rows = (lax.all_gather(part, DATA, tiled=True) for part in leaf)
        return sum_duplicate_rows(ids, rows)

    return jax.tree.map(total, gradient, is_leaf=is_row_gradient)
