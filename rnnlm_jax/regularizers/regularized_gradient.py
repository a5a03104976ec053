"""A loss of a cell's outputs with regularisers, and its gradient, for networks that are not language models."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.regularizers.regularizer import (
    Reads,
    Regularizer,
    Window,
    cotangent_penalties,
    observed_layers,
    penalties,
    reads,
)
from rnnlm_jax.unroll.executor import Executor
from rnnlm_jax.unroll.observed_unroll import observed_unroll, zero_shifts
from rnnlm_jax.unroll.unroll import unroll


class OutputLossFn(Protocol):
    """A loss of a network."""

    def __call__(self, params: Tree, hs: Float[Array, "T B H"], /) -> Float[Array, ""]:
        """Return the loss.

        Args:
            params: all parameters of the network.
            hs: the outputs of its cell over time.
        """
        ...


class Regularized(NamedTuple):
    """A loss and what was computed beside it."""

    loss: Float[Array, ""]
    """The loss, without the terms."""
    terms: dict[str, Float[Array, ""]]
    """The terms that were added to it, by name."""
    state: Tree
    """The state of the cell after the last step."""


def unchanged(params: Tree, inputs: Array) -> Array:
    """Return the inputs: the features of a network without a layer below its cell."""
    return inputs


def regularized_value_and_grad(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Array,
    *,
    loss: OutputLossFn,
    weights: Float[Array, "T B"],
    regularizers: Sequence[Regularizer] = (),
    cell_params: Callable[[Any], Tree] = lambda params: params.cell,
    features: Callable[[Any, Array], Array] = unchanged,
    lengths: Int[Array, " B"] | None = None,
    executor: str | Executor | None = None,
    key: Key | None = None,
    step: Int[Array, ""] | None = None,
) -> tuple[Regularized, Tree]:
    """Return a loss, the terms added to it, and the gradient of their sum.

    Args:
        cell: a cell or a stack.
        params: all parameters of the network.
        state: the state before the first step.
        xs: the inputs of the network, ``[T, B, ...]``.
        loss: the loss of the outputs.
        weights: the weight of each position in the terms, 0 where it does not count: ``1/(T B)`` for means over
            positions, ``1/B`` for sums over steps and means over sequences, as in the papers of Ω.
        regularizers: the terms.
        cell_params: returns the parameters of the cell among all.
        features: returns the inputs of the cell, of all parameters and the inputs of the network, such as embeddings.
        lengths: see ``unroll``. A regulariser that reads states takes no notice of them: steps beyond a length have
            states, but no gradient.
        executor: see ``unroll``.
        key: random key, for a regulariser that draws.
        step: number of the training step, for one that depends on it.

    Returns:
        the loss, terms and last state; and the gradient.

    Raises:
        ArgumentError: if a regulariser needs a key or a step that is not given, or as ``observed_unroll``.
    """
    most = reads(regularizers)

    def objective(params: Tree, shifts: tuple[Array, ...] | None) -> tuple[Array, tuple[Regularized, Any]]:
        own, inputs = cell_params(params), features(params, xs)
        if most is Reads.OUTPUTS:
            (last, hs), states = unroll(cell, own, state, inputs, lengths=lengths, executor=executor), ()
        else:
            last, hs, states = observed_unroll(cell, own, state, inputs, shifts=shifts, executor=executor)
        value = loss(params, hs)
        layers = observed_layers(cell, own, states) if states else ()
        added = penalties(regularizers, Window(weights, hs, hs, layers, key, step))
        return sum(added.values(), value), (Regularized(value, added, last), states)

    shifts = None
    if most is Reads.COTANGENTS:
        shapes = jax.eval_shape(features, params, xs)
        shifts = zero_shifts(cell, jnp.zeros(shapes.shape, shapes.dtype))
    value_and_grad = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)
    (_, (found, states)), (gradient, of_shifts) = value_and_grad(params, shifts)
    if most is Reads.COTANGENTS:
        own, pullback = jax.vjp(cell_params, params)
        values, of_cells = cotangent_penalties(
            regularizers, cell, own, states=states, shift_gradients=of_shifts, weights=weights
        )
        found = found._replace(terms=found.terms | values)
        gradient = jax.tree.map(jnp.add, gradient, pullback(of_cells)[0])
    return found, gradient
