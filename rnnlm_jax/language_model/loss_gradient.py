"""The training loss and its gradient, which is row-sparse for large tables of which a batch reads few rows."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Key, Tree
from rnnlm_jax.arrays.sparse_rows import dense_gradient, sum_duplicate_rows
from rnnlm_jax.data.batching import Batch
from rnnlm_jax.language_model.label_smoothing import smoothing_nats
from rnnlm_jax.language_model.model import LanguageModel
from rnnlm_jax.language_model.ngram_context import context_at_each_step
from rnnlm_jax.language_model.parameters import LanguageModelParams
from rnnlm_jax.language_model.run_results import Scored
from rnnlm_jax.outputs.output_layer import GatherFn, LossByRow, WithContext
from rnnlm_jax.regularizers import (
    Reads,
    Regularizer,
    Window,
    cotangent_penalties,
    observed_layers,
    penalties,
    reads,
)
from rnnlm_jax.unroll.observed_unroll import StatesOverTime, zero_shifts

#: A table with at least this many rows per token of a batch is updated by row: for a smaller one, finding the tokens
#: that occur twice costs more than a pass over all rows.
ROWS_PER_TOKEN = 4
#: Folded into a step's key for the draws of the output layer; dropout folds other numbers into it.
OUTPUT_DRAWS = 2**32 - 2


class AnchorFn(Protocol):
    """States where an array lies on a mesh, without changing its values."""

    def __call__(self, array: Array, /) -> Array:
        """Return the array."""
        ...


def unanchored(array: Array) -> Array:
    """Return the array as it is."""
    return array


def loss_and_gradient(
    model: LanguageModel,
    params: LanguageModelParams,
    state: Tree,
    batch: Batch,
    key: Key | None,
    *,
    normaliser: Array | int = 1,
    by_row: bool = False,
    parts: int = 1,
    anchor: AnchorFn = unanchored,
    padded: bool = False,
    regularizers: Sequence[Regularizer] = (),
    label_smoothing: float = 0.0,
    step: Int[Array, ""] | None = None,
) -> tuple[tuple[Float[Array, ""], Scored], LanguageModelParams]:
    """Return the training loss divided by ``normaliser``, and the gradient of it and its penalties together.

    The loss is that of ``loss_fn``; for a ``sampled`` output layer it is a sampled surrogate, whose value is not a
    log-likelihood. Penalties are not a part of it: ``scored.penalties`` has each of them, as it is added to the loss
    divided by ``normaliser``. The penalties of batches that are parts of one, with the normaliser of the whole, add up
    to those of the whole, as their losses do.

    Args:
        model: the model.
        params: parameters.
        state: state before the batch.
        batch: inputs, targets and mask, ``[T, B]``.
        key: for dropout, the draws of a sampled output layer and of regularisers; None: no dropout, and the exact loss.
        normaliser: the divisor.
        by_row: whether a leaf of the gradient may be a ``RowGradient`` (of a large table of which few rows were read);
            otherwise every leaf is an array like the parameter.
        parts: number of batches, one per device, of which this is one; "few" refers to all of them.
        anchor: applied to inputs and outputs of the cells.
        padded: whether steps at the end of the batch that the mask does not count are padding, which keeps the state;
            otherwise every step advances the state, and the mask is of the loss only.
        regularizers: terms to add to the loss.
        label_smoothing: ε, the probability that targets give to the uniform distribution, see ``smoothing_nats``.
        step: number of the training step, for regularisers that depend on it.

    Returns:
        ``((loss, scored), gradient)``.

    Raises:
        ArgumentError: if labels are smoothed for an output layer that cannot do it, or a regulariser needs a key or a
            step that is not given.
    """
    inputs = model.dropout.replace_words(key, jnp.asarray(batch.inputs))
    targets = jnp.asarray(batch.targets)
    mask: Bool[Array, "T B"] = jnp.asarray(batch.mask)
    # Without a key nothing can be drawn: then a sampled layer uses its exact loss too.
    rows = None if model.output.sampled and key is None else model.output.by_row
    segment = _Segment(state, inputs, targets, key)
    gathered, ids = (None, None) if rows is None else _gather(rows.gather, model, params, segment)
    most = reads(regularizers)

    def loss(
        params: LanguageModelParams, xs: Array, gathered: Tree, shifts: tuple[Array, ...] | None
    ) -> tuple[Array, _Found]:
        steps, observe = mask if padded else None, most > Reads.OUTPUTS
        run = model.run(params, state, anchor(xs), key, inputs, mask=steps, observe=observe, shifts=shifts)
        hs = jax.tree.map(anchor, run.hs)
        # Dividing the weights is cheaper than dividing the gradient of a large matrix.
        weights = mask.astype(xs.dtype) / jnp.asarray(normaliser, xs.dtype)
        dropped = hs.values if model.output.context_size else hs
        own, hs = (model.output_params(params), hs) if rows else model.output_operands(params, hs, key)
        if rows is None:
            value = model.output.total_nats(own, hs, targets, weights)
        else:
            value = rows.loss(gathered, ids, hs, targets, weights)
        layers = observed_layers(model.cell, params.cell, run.states) if run.states else ()
        added = penalties(regularizers, Window(weights, run.raw, dropped, layers, key, step))
        if label_smoothing:
            excess = smoothing_nats(model.output, own, hs, targets, weights)
            added |= {"label_smoothing": label_smoothing * excess}
        scored = Scored(mask.sum(dtype=jnp.int32), run.state, added)
        return sum(added.values(), value), _Found(value, scored, weights, run.states)

    xs, embedding_vjp = _embedded(model, params, inputs)
    shifts = zero_shifts(model.cell, xs) if most is Reads.COTANGENTS else None
    value_and_grad = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    (_, found), (gradient, of_xs, of_gathered, of_shifts) = value_and_grad(params, xs, gathered, shifts)
    scored = found.scored
    if most is Reads.COTANGENTS:
        values, of_cells = cotangent_penalties(
            regularizers, model.cell, params.cell, states=found.states, shift_gradients=of_shifts, weights=found.weights
        )
        scored = scored._replace(penalties=scored.penalties | values)
        gradient = gradient._replace(cell=jax.tree.map(jnp.add, gradient.cell, of_cells))
    if embedding_vjp is not None:
        of_embedding = embedding_vjp(of_xs)
    elif by_row and _embeds_by_row(model, inputs.size * parts):
        of_embedding = sum_duplicate_rows(inputs.reshape(-1), of_xs.reshape(-1, of_xs.shape[-1]))
    else:
        of_embedding = gradient.embedding.at[inputs].add(of_xs)  # beside that of a tied output layer
    gradient = gradient._replace(embedding=of_embedding)
    if rows is not None:
        of_output = rows.scatter(of_gathered, ids)
        gradient = gradient._replace(output=of_output if by_row else dense_gradient(of_output, params.output))
    return (found.loss, scored), gradient


def has_row_gradients(model: LanguageModel, tokens: int) -> bool:
    """Return whether a leaf of the gradient of a batch may be a ``RowGradient``, if ``by_row`` allows it.

    Args:
        model: the model.
        tokens: number of inputs of the batch.
    """
    return model.output.by_row is not None or (model.input.is_table and _embeds_by_row(model, tokens))


def may_have_row_gradients(model: LanguageModel) -> LanguageModelParams:
    """Return a tree like the parameters that is True at tables whose gradient may be a ``RowGradient``."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    tables: Any = jax.tree.map(lambda _: False, shapes)
    if model.input.is_table and not model.tie_embeddings:
        tables = tables._replace(embedding=jax.tree.map(lambda _: True, shapes.embedding))
    if model.output.by_row is not None:
        tables = tables._replace(output=jax.tree.map(lambda _: True, shapes.output))
    return tables


def _embeds_by_row(model: LanguageModel, tokens: int) -> bool:
    return not model.tie_embeddings and ROWS_PER_TOKEN * tokens <= model.vocab_size


def training_loss(
    model: LanguageModel, params: LanguageModelParams, state: Tree, batch: Batch, key: Key | None
) -> tuple[Float[Array, ""], Scored]:
    """Return the training loss, summed over the targets that the mask counts, as a function to be differentiated.

    Its reverse-mode gradient is that of ``loss_and_gradient``, without rows. The value is that of ``loss_fn``; for a
    ``sampled`` output layer with a key it is a sampled surrogate, not a log-likelihood. Arguments are those of
    ``loss_fn``.
    """
    rows = model.output.by_row
    if rows is None or (model.output.sampled and key is None):
        return model.loss_fn(params, state, batch, key)
    inputs, targets, mask = (jnp.asarray(array) for array in batch)
    inputs = model.dropout.replace_words(key, inputs)
    gather = functools.partial(_differentiable_gather, rows)
    gathered, ids = _gather(gather, model, params, _Segment(state, inputs, targets, key))
    after, hs, *_ = model.run(params, state, model.embed(params, inputs), key, inputs)
    value = rows.loss(gathered, ids, hs, targets, mask.astype(model.cell.spec.param_dtype))
    return value, Scored(mask.sum(dtype=jnp.int32), after)


class _Found(NamedTuple):
    """What is found on the way to the value that is differentiated."""

    loss: Float[Array, ""]
    """The loss without penalties."""
    scored: Scored
    weights: Float[Array, "T B"]
    states: tuple[StatesOverTime, ...]


class _Segment(NamedTuple):
    """The state before a batch, its tokens, and the key of the step."""

    state: Tree
    inputs: Array
    targets: Array
    key: Key | None


def _gather(
    gather: GatherFn, model: LanguageModel, params: LanguageModelParams, segment: _Segment
) -> tuple[Tree, Tree]:
    """Return the rows that a batch's loss reads, drawn ones included, and which they are."""
    key, targets = segment.key, segment.targets
    key = None if key is None or not model.output.sampled else jax.random.fold_in(key, OUTPUT_DRAWS)
    if model.output.context_size:
        targets = WithContext(targets, context_at_each_step(segment.state.words, segment.inputs))
    return gather(params.output, targets, key)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _differentiable_gather(rows: LossByRow, output: Tree, targets: Tree, key: Key | None) -> tuple[Tree, Tree]:
    """Return ``rows.gather``; the gradient of the rows goes where the layer's own ``scatter`` puts it."""
    return rows.gather(output, targets, key)


def _gather_forward(rows: LossByRow, output: Tree, targets: Tree, key: Key | None) -> tuple[Any, Any]:
    gathered, ids = rows.gather(output, targets, key)
    return (gathered, ids), (output, ids)


def _gather_backward(rows: LossByRow, residuals: tuple[Tree, Tree], cotangents: tuple[Tree, Tree]) -> tuple[Any, ...]:
    output, ids = residuals
    return dense_gradient(rows.scatter(cotangents[0], ids), output), None, None


_differentiable_gather.defvjp(_gather_forward, _gather_backward)


def _embedded(
    model: LanguageModel, params: LanguageModelParams, inputs: Array
) -> tuple[Float[Array, "T *B D"], Callable[[Array], Tree] | None]:
    """Return the vectors of the inputs, and the pullback to the layer's parameters; None for a table."""
    if model.input.is_table:
        return model.embed(params, inputs), None
    xs, vjp = jax.vjp(lambda embedding: model.input.embed(embedding, inputs), params.embedding)
    return xs, lambda of_xs: vjp(of_xs)[0]
