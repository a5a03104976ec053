"""What training descends, and its gradient: by row, where few rows of a table are read."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.arrays.sparse_rows import dense_gradient, sum_duplicate_rows
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.language_model.model import LanguageModel, LanguageModelParams, Scored
from rnnlm_jax.language_model.ngram_context import past_at_each
from rnnlm_jax.outputs.output_layer import LossByRow, PickFn, WithPast

#: A table with at least so many rows for each token of a batch is updated by row: in a smaller one, finding the tokens
#: that occur twice costs more than a pass over all rows.
ROWS_PER_TOKEN = 4
#: Folded into a step's key for what the output layer draws: none of the numbers that dropout folds into it.
OF_OUTPUT = 2**32 - 2


def loss_and_gradient(
    model: LanguageModel,
    params: LanguageModelParams,
    state: Tree,
    batch: Batch,
    key: Key | None,
    over: Array | int = 1,
    by_row: bool = False,
    parts: int = 1,
    anchor: Callable[[Array], Array] = lambda array: array,
) -> tuple[tuple[Float[Array, ""], Scored], LanguageModelParams]:
    """What training descends, divided by ``over``, and its gradient, formed with it.

    The loss is ``loss_fn``'s, or where the output layer is ``sampled``, its own, which is no nats of anything.

    Args:
        model: the model.
        params: the parameters.
        state: the state before the batch.
        batch: inputs, targets and mask, ``[T, B]``.
        key: for dropout, and for what a sampled output layer draws; None: no dropout, and the exact loss.
        over: the divisor.
        by_row: whether a leaf of the gradient may be a ``RowGradient``, of a large table of which few rows were
            read; if not, it is an array like the parameters.
        parts: of how many batches, one a device, this is one; "few" is of them all.
        anchor: applied to what the cells read and to what they give: the identity, which may say where that lies.
    """
    inputs, targets = jnp.asarray(batch.inputs), jnp.asarray(batch.targets)
    mask: Bool[Array, "T B"] = jnp.asarray(batch.mask)
    # Without a key nothing can be drawn: then even a sampled layer descends its exact nats.
    rows = None if model.output.sampled and key is None else model.output.by_row
    picked, ids = (None, None) if rows is None else _pick(rows.pick, model, params, state, inputs, targets, key)

    def loss(params: LanguageModelParams, xs: Array, picked: Tree) -> tuple[Array, Scored]:
        after, hs = model.hidden_from_embedded(params, state, anchor(xs), key, inputs)
        hs = jax.tree.map(anchor, hs)
        # The divisor goes into the weights: the gradient of a large matrix comes out of its products divided.
        weights = mask.astype(xs.dtype) / jnp.asarray(over, xs.dtype)
        if rows is None:
            value = model.output.total_nats(model.output_params(params), hs, targets, weights)
        else:
            value = rows.loss(picked, ids, hs, targets, weights)
        return value, Scored(mask.sum(dtype=jnp.int32), after)

    xs, back = _embedded(model, params, inputs)
    found, (gradient, of_xs, of_picked) = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, xs, picked)
    few = by_row and not model.tie_embeddings and ROWS_PER_TOKEN * inputs.size * parts <= model.vocab_size
    gradient = gradient._replace(embedding=_of_inputs(gradient.embedding, inputs, of_xs, back, few))
    if rows is not None:
        of_output = rows.scatter(of_picked, ids)
        gradient = gradient._replace(output=of_output if by_row else dense_gradient(of_output, params.output))
    return found, gradient


def training_loss(
    model: LanguageModel, params: LanguageModelParams, state: Tree, batch: Batch, key: Key | None
) -> tuple[Float[Array, ""], Scored]:
    """What training descends, summed over the targets that the mask counts, for whoever differentiates it himself.

    Its reverse-mode gradient is that of ``loss_and_gradient``, never by row. The value is ``loss_fn``'s, or where the
    output layer is ``sampled`` and there is a key, the layer's own, which is no nats of anything. Arguments are those
    of ``loss_fn``.
    """
    rows = model.output.by_row
    if rows is None or (model.output.sampled and key is None):
        return model.loss_fn(params, state, batch, key)
    inputs, targets, mask = (jnp.asarray(array) for array in batch)
    pick = functools.partial(_picked, rows)
    picked, ids = _pick(pick, model, params, state, inputs, targets, key)
    after, hs = model.hidden(params, state, inputs, key)
    value = rows.loss(picked, ids, hs, targets, mask.astype(model.cell.spec.param_dtype))
    return value, Scored(mask.sum(dtype=jnp.int32), after)


def _pick(
    pick: PickFn,
    model: LanguageModel,
    params: LanguageModelParams,
    state: Tree,
    inputs: Array,
    targets: Array,
    key: Key | None,
) -> tuple[Tree, Tree]:
    """The rows that a batch's loss reads, those that are drawn among them, and which they are."""
    k_output = None if key is None or not model.output.sampled else jax.random.fold_in(key, OF_OUTPUT)
    wanted = WithPast(targets, past_at_each(state.words, inputs)) if model.output.past else targets
    return pick(params.output, wanted, k_output)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _picked(rows: LossByRow, output: Tree, wanted: Tree, key: Key | None) -> tuple[Tree, Tree]:
    """``rows.pick``; the gradient of the rows goes where the layer's own ``scatter`` puts it."""
    return rows.pick(output, wanted, key)


def _picked_forward(rows: LossByRow, output: Tree, wanted: Tree, key: Key | None) -> tuple[Any, Any]:
    picked, ids = rows.pick(output, wanted, key)
    return (picked, ids), (output, ids)


def _picked_backward(rows: LossByRow, kept: tuple[Tree, Tree], cotangents: tuple[Tree, Tree]) -> tuple[Any, ...]:
    output, ids = kept
    return dense_gradient(rows.scatter(cotangents[0], ids), output), None, None


_picked.defvjp(_picked_forward, _picked_backward)


def _embedded(
    model: LanguageModel, params: LanguageModelParams, inputs: Array
) -> tuple[Array, Callable[[Array], Any] | None]:
    """The vectors of the inputs, and how their gradient becomes that of the parameters; None for a table's rows."""
    if model.input.is_table:
        return model.embed(params, inputs), None
    return jax.vjp(lambda embedding: model.input.embed(embedding, inputs), params.embedding)


def _of_inputs(so_far: Tree, inputs: Array, of_xs: Array, back: Callable[[Array], Any] | None, few: bool) -> Tree:
    """The gradient of the input layer: what a tied output layer has added, and what comes through its vectors."""
    if back is not None:
        return back(of_xs)[0]
    if few:
        return sum_duplicate_rows(inputs.reshape(-1), of_xs.reshape(-1, of_xs.shape[-1]))
    return so_far.at[inputs].add(of_xs)
