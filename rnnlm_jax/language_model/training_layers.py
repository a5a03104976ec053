"""Recurrent layers as a training step runs them, with the masks of dropout and zoneout."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from rnnlm_jax.array_types import Array, Bool, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Bidirectional, Stack, stack
from rnnlm_jax.cells.state_dropout import StateDropoutParams, check_state_dropout, draw_state_masks, state_dropout
from rnnlm_jax.cells.weight_drop import recurrent_matrices
from rnnlm_jax.cells.zoneout import Zoneout, add_masks
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.language_model.dropout import STATE, ZONEOUT, Dropout
from rnnlm_jax.unroll import unroll


class TrainingLayer(NamedTuple):
    """A single cell with its parameters and inputs; masks are in place."""

    cell: Cell
    params: Tree
    xs: Float[Array, "T *B D"]


def training_layer(
    dropout: Dropout, layer: int, key: Key | None, cell: Cell, params: Tree, xs: Float[Array, "T *B D"]
) -> TrainingLayer:
    """Return a layer with the dropout of its inputs, its state dropout and its zoneout.

    Its state has the structure and the meaning of the cell's. Weight drop is applied before, to the parameters of all
    layers.

    Args:
        dropout: the rates.
        layer: number of the layer, 0 for the lowest.
        key: key of the step; None: no masks.
        cell: the cell, not a stack.
        params: its parameters.
        xs: its inputs before dropout.
    """
    xs = dropout.layer_input(layer, key, xs)
    if key is None:
        return TrainingLayer(cell, params, xs)
    steps, *batch = xs.shape[:-1]
    shape = (dropout.all_sequences(batch[0]), *batch[1:]) if batch else ()
    if isinstance(cell, Zoneout):
        masks = cell.draw_masks(_layer_key(key, ZONEOUT, layer), (steps, *shape))
        xs = add_masks(xs, dropout.own_sequences(masks, xs.shape[1], axis=1))
        cell = cell.sampled
    if dropout.state:
        masks = draw_state_masks(cell, dropout.state, _layer_key(key, STATE, layer), shape)
        params = StateDropoutParams(params, dropout.own_sequences(masks, xs.shape[1], axis=0))
        cell = state_dropout(cell, tuple(batch))
    return TrainingLayer(cell, params, xs)


def needs_training_layers(cell: Cell, dropout: Dropout) -> bool:
    """Return whether training changes the cells themselves, by state dropout or zoneout."""
    return dropout.state > 0 or has_zoneout(cell)


def trained_cell(cell: Cell, dropout: Dropout) -> Cell:
    """Return a cell or a stack with state dropout if it has a rate, by which the executor of training is chosen."""
    if not dropout.state:
        return cell
    if isinstance(cell, Stack):
        layers = (trained_cell(layer, dropout) for layer in cell.layers)
        return stack(*layers, residual=cell.residual, sum_outputs=cell.sum_outputs)
    return state_dropout(cell)


def has_zoneout(cell: Cell) -> bool:
    """Return whether a cell or any layer of it has zoneout."""
    return any(isinstance(layer, Zoneout) for layer in single_layers(cell))


def unroll_training_layers(
    dropout: Dropout,
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"],
    *,
    key: Key,
    mask: Bool[Array, "T *B"] | None = None,
    remat_chunk: int | str | None = None,
    executor: str | None = None,
) -> tuple[Tree, Float[Array, "T *B H"]]:
    """Return ``unroll`` of a cell or a stack, each layer with its masks.

    Args:
        dropout: the rates.
        cell: the cell or the stack.
        params: its parameters, after weight drop.
        state: the state before the first step.
        xs: the inputs of the lowest layer before dropout.
        key: key of the step.
        mask: which steps count, see ``unroll``.
        remat_chunk: see ``unroll``.
        executor: see ``unroll``.

    Raises:
        ArgumentError: for a bidirectional cell, or what ``unroll`` refuses.
    """
    count = 0

    def run(cell: Cell, params: Tree, state: Tree, xs: Array) -> tuple[Tree, Array]:
        nonlocal count
        if isinstance(cell, Stack):
            last: list[Tree] = []
            passed = None
            for k, layer in enumerate(cell.layers):
                after, hs = run(layer, params[k], state[k], xs if passed is None else passed.below)
                last.append(after)
                passed = cell.passed(hs, passed)
            assert passed is not None
            return tuple(last), passed.output
        if isinstance(cell, Bidirectional):
            raise ArgumentError("state dropout and zoneout are for cells in one direction of time: leave them out")
        layer = training_layer(dropout, count, key, cell, params, xs)
        count += 1
        options: Any = {"mask": mask, "remat_chunk": remat_chunk, "executor": executor}
        return unroll(layer.cell, layer.params, state, layer.xs, **options)

    return run(cell, params, state, xs)


def check_dropout(cell: Cell, dropout: Dropout) -> None:
    """Check that every layer has the recurrent product, and declares the matrices, that rates refer to.

    Raises:
        ArgumentError: if one does not.
    """
    for layer in single_layers(cell):
        if dropout.weight:
            recurrent_matrices(layer)
        if dropout.state:
            check_state_dropout(layer)


def single_layers(cell: Cell) -> Iterator[Cell]:
    """Yield the cells inside stacks and pairs, the lowest first."""
    if isinstance(cell, Stack):
        for layer in cell.layers:
            yield from single_layers(layer)
    elif isinstance(cell, Bidirectional):
        yield from (*single_layers(cell.forward), *single_layers(cell.backward))
    else:
        yield cell


def _layer_key(key: Key, kind: int, layer: int) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, kind), layer)
