"""Loss and gradient of a batch in several parts, one after the other, with the memory of one part."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.arrays.sparse_rows import RowGradient, is_row_gradient, sum_duplicate_rows
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Scored

#: Folded into a step's key for the keys of the parts; other numbers are folded into it for other draws.
PART_DRAWS = 2**32 - 10


def accumulated_loss_and_gradient(
    model: LanguageModel,
    params: LanguageModelParams,
    state: Tree,
    batch: Batch,
    key: Key | None,
    *,
    accumulate: int = 1,
    parts: int = 1,
    **options: Any,
) -> tuple[tuple[Float[Array, ""], Scored], LanguageModelParams]:
    """Return ``loss_and_gradient`` of a batch as the sum over parts of its columns.

    Without random numbers the result is that of the whole batch but for the order of sums. With dropout or a sampled
    loss, each part has draws of its own. Part k has the columns k, k + K, k + 2 K …: on a mesh, the parts of the
    devices' own columns then are the own columns of the parts, and have the draws of one device.

    Args:
        model: the model.
        params: parameters.
        state: state before the batch.
        batch: inputs, targets and mask, ``[T, B]``.
        key: key of the step; None: no dropout, and the exact loss.
        accumulate: number of parts K, which divides B.
        parts: number of batches, one per device, of which this is one.
        options: other arguments of ``loss_and_gradient``; its ``normaliser`` is that of the whole batch.
    """
    if accumulate == 1:
        return loss_and_gradient(model, params, state, batch, key, parts=parts, **options)
    batches = Batch(*(_cut(jnp.asarray(array), accumulate, axis=1) for array in batch))
    states = jax.tree.map(lambda array: _cut(array, accumulate, axis=0), state)
    keys = None if key is None else jax.random.split(jax.random.fold_in(key, PART_DRAWS), accumulate)

    def one(state: Tree, batch: Batch, key: Key | None) -> Any:
        return loss_and_gradient(model, params, state, batch, key, parts=parts * accumulate, **options)

    shapes = jax.eval_shape(one, *jax.tree.map(lambda array: array[0], (states, batches, keys)))
    (value, scored), gradient = shapes
    leaves, structure = jax.tree.flatten(gradient, is_leaf=is_row_gradient)
    by_row = [is_row_gradient(leaf) for leaf in leaves]
    dense = [leaf for leaf, rows in zip(leaves, by_row, strict=True) if not rows]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (value, scored._replace(state=()), dense))

    def add(total: Any, part: Any) -> tuple[Any, Any]:
        (value, scored), gradient = one(*part)
        found = structure.flatten_up_to(gradient)
        dense = [leaf for leaf, rows in zip(found, by_row, strict=True) if not rows]
        added = jax.tree.map(jnp.add, total, (value, scored._replace(state=()), dense))
        return added, (scored.state, [leaf for leaf, rows in zip(found, by_row, strict=True) if rows])

    (value, scored, dense), (after, rows) = jax.lax.scan(add, zeros, (states, batches, keys))
    dense, rows = iter(dense), iter(rows)
    summed = [_joined(next(rows)) if is_rows else next(dense) for is_rows in by_row]
    return (value, scored._replace(state=jax.tree.map(_whole, after))), structure.unflatten(summed)


def _cut(array: Array, parts: int, *, axis: int) -> Array:
    """Return the parts of an axis, stacked on a new first axis; part k has every ``parts``-th entry from k on."""
    shape = (*array.shape[:axis], array.shape[axis] // parts, parts, *array.shape[axis + 1 :])
    return jnp.moveaxis(array.reshape(shape), axis + 1, 0)


def _whole(parts: Array) -> Array:
    """Return the array that ``_cut`` has cut along its first axis."""
    array = jnp.moveaxis(parts, 0, 1)
    return array.reshape(-1, *array.shape[2:])


def _joined(stacked: RowGradient) -> RowGradient:
    """Return the sum of row gradients that are stacked on the first axis."""
    return sum_duplicate_rows(stacked.ids.reshape(-1), stacked.rows.reshape(-1, *stacked.rows.shape[2:]))
