"""A cell or stack over time with the states inside it: for terms of a loss that read more than the outputs.

Each single cell is run with a further input that is added to its new state. At zero this input changes nothing, and the
gradient of a loss with respect to it is the gradient with respect to the state.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.cells.cell import Cell, cell_factory, state_size
from rnnlm_jax.cells.combinators import Bidirectional, Stack
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll.control import Control
from rnnlm_jax.unroll.executor import Executor, SimpleExecutor, runs_everything
from rnnlm_jax.unroll.executors import EXECUTORS
from rnnlm_jax.unroll.structured import run_states
from rnnlm_jax.unroll.unroll import unroll


class StatesOverTime(NamedTuple):
    """States and projected inputs of one cell over time."""

    before: Tree
    """``s_0 … s_{T-1}``, the state before each step, leaves ``[T, *B, ·]``."""
    zs: Float[Array, "T *B GH"]
    """The projected inputs of each step."""


def observed_unroll(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T *B D"],
    *,
    shifts: Sequence[Float[Array, "T *B _"]] | None = None,
    layer_input: Callable[[Any, Array], Array] | None = None,
    remat_chunk: int | str | None = None,
    executor: str | Executor | None = None,
) -> tuple[Tree, Float[Array, "T *B H"], tuple[StatesOverTime, ...]]:
    """Return what ``unroll`` returns, and the states of every single cell, the lowest layer first.

    It costs one forward and backward pass, as ``unroll`` does. The gradient of a loss E with respect to ``shifts`` is
    ``δ_t = ∂E/∂s_t`` of each cell, through its outputs, the layers above and all later steps.

    Args:
        cell: a cell, or a stack of cells; each must be one that can be stepped.
        params: its parameters.
        state: the state before the first step.
        xs: the inputs.
        shifts: one array for each single cell, added to its states ``s_1 … s_T``, parts of the state side by side
            (see ``zero_shifts``); None: zeros.
        layer_input: see ``unroll``; layers are run one by one, so that their number is an int.
        remat_chunk: see ``unroll``.
        executor: see ``unroll``. One that runs only some cells (native, cudnn) does not return states, and the fastest
            one that does is used in its place.

    Raises:
        ArgumentError: for a cell that has no states in one direction of time, or arguments that ``unroll`` refuses.
    """
    layer_input = layer_input or (lambda layer, xs: xs)
    observed: list[StatesOverTime] = []
    named = EXECUTORS.get(executor) if isinstance(executor, str) else None
    if named is not None and named.why_not is not runs_everything:
        executor = None

    def run(cell: Cell, params: Tree, state: Tree, xs: Array) -> tuple[Tree, Array]:
        if isinstance(cell, Stack):
            last, passed = [], None
            for k, layer in enumerate(cell.layers):
                final, hs = run(layer, params[k], state[k], xs if passed is None else passed.below)
                last.append(final)
                passed = cell.passed(hs, passed)
            assert passed is not None
            return tuple(last), passed.output
        inputs = layer_input(len(observed), xs)
        shift = zero_shift(cell, inputs) if shifts is None else shifts[len(observed)]
        with_shifts = jnp.concatenate([inputs.astype(shift.dtype), shift], axis=-1)
        chosen = _structured(cell) if cell.splits and executor in (None, "structured") else executor
        options = {"remat_chunk": remat_chunk, "executor": chosen}
        final, vectors = unroll(_observed(cell), params, state, with_shifts, **options)
        states = as_state(cell, vectors)
        before = jax.tree.map(lambda first, after: jnp.concatenate([first[None], after[:-1]]), state, states)
        zs = cell.input_projection(params, inputs)
        observed.append(StatesOverTime(before, zs))
        return final, cell.output(params, states, zs)

    single_cells(cell)  # raises for a cell without states over time
    final, hs = run(cell, params, state, xs)
    return final, hs, tuple(observed)


def zero_shifts(cell: Cell, xs: Float[Array, "T *B D"]) -> tuple[Float[Array, "T *B _"], ...]:
    """Return the ``shifts`` of ``observed_unroll`` that change nothing, for inputs ``xs``."""
    return tuple(zero_shift(each, xs) for each in single_cells(cell))


def zero_shift(cell: Cell, xs: Float[Array, "T *B D"]) -> Float[Array, "T *B n"]:
    """Return zeros, one number for each number of a single cell's state."""
    return jnp.zeros((*xs.shape[:-1], state_size(cell)), cell.spec.param_dtype)


def single_cells(cell: Cell) -> tuple[Cell, ...]:
    """Return the single cells of a cell or stack, the lowest layer first, those of stacks inside a stack included.

    Raises:
        ArgumentError: for a bidirectional cell.
    """
    if isinstance(cell, Bidirectional):
        raise ArgumentError("a bidirectional cell has no states in one direction of time: observe its two cells")
    return sum(map(single_cells, cell.layers), ()) if isinstance(cell, Stack) else (cell,)


def of_single_cells(cell: Cell, params: Tree) -> tuple[Tree, ...]:
    """Return the parameters, or the state, of each of ``single_cells``."""
    if not isinstance(cell, Stack):
        return (params,)
    return sum((of_single_cells(layer, part) for layer, part in zip(cell.layers, params, strict=True)), ())


@functools.cache
def _structured(cell: Cell) -> Executor:
    """Return ``structured`` for the observed cell: shifts are a sequence of their own, not a part of the inputs."""
    own = cell

    def run(
        cell: Cell,
        params: Tree,
        state: Tree,
        xs: Float[Array, "T B D"],
        control: Control,
        *,
        reverse: bool = False,
        scan_unroll: int = 1,
    ) -> tuple[Tree, Float[Array, "T B n"]]:
        size = xs.shape[-1] - cell.spec.output_size
        zs = own.input_projection(params, xs[..., :size])
        shifts = as_state(own, xs[..., size:].astype(own.spec.param_dtype))
        final, states = run_states(own, reverse, scan_unroll, params, zs, control, state, shifts)
        return final, as_vectors(own, states)

    return SimpleExecutor(run)


@cell_factory
def _observed(cell: Cell) -> Cell:
    """Return a cell whose output is its whole state, and whose last n inputs are added to its new state.

    s_t = step(s_{t-1}, z_t) + p_t,    x'_t = (x_t, p_t),    z'_t = (z_t, p_t),    h'_t = s_t
    """
    n, dtype = state_size(cell), cell.spec.param_dtype

    def init(key: Key, input_size: int) -> Tree:
        return cell.init(key, input_size - n)

    def input_projection(params: Tree, x: Array) -> Array:
        z = cell.input_projection(params, x[..., : x.shape[-1] - n]).astype(dtype)
        return jnp.concatenate([z, x[..., x.shape[-1] - n :].astype(dtype)], axis=-1)

    def shifted(state: Tree, shift: Array) -> Tree:
        return jax.tree.map(jnp.add, state, as_state(cell, shift))

    def recurrent_projection(params: Tree, state: Tree) -> Array:
        assert cell.recurrent_projection is not None
        r = cell.recurrent_projection(params, state).astype(dtype)
        # For an additive update z + r is one array, in which the shift has its place.
        return jnp.concatenate([r, jnp.zeros((*r.shape[:-1], n), dtype)], axis=-1) if cell.additive else r

    def update(params: Tree, state: Tree, z: Array, r: Array) -> Tree:
        assert cell.update is not None
        if cell.additive:
            z, r = z + r, jnp.zeros((), dtype)
        size = z.shape[-1] - n
        return shifted(cell.update(params, state, z[..., :size], r), z[..., size:])

    def whole_step(params: Tree, state: Tree, z: Array) -> Tree:
        size = z.shape[-1] - n
        return shifted(cell.step(params, state, z[..., :size]), z[..., size:])

    def readout(params: Tree, state: Tree) -> Array:
        del params
        return as_vectors(cell, state)

    return Cell(
        dataclasses.replace(cell.spec, output_size=n),
        init,
        cell.initial_state,
        input_projection,
        readout,
        prepare_params=cell.prepare_params,
        recurrent_projection=recurrent_projection if cell.splits else None,
        update=update if cell.splits else None,
        whole_step=None if cell.splits else whole_step,
        additive=cell.splits and cell.additive,
    )


def as_vectors(cell: Cell, state: Tree) -> Float[Array, "*B n"]:
    """Return states of a single cell as vectors, parts side by side."""
    shapes = jax.tree.leaves(jax.eval_shape(lambda: cell.initial_state(())))
    leaves = zip(jax.tree.leaves(state), shapes, strict=True)
    return jnp.concatenate([leaf.reshape(*leaf.shape[: leaf.ndim - part.ndim], -1) for leaf, part in leaves], axis=-1)


def as_state(cell: Cell, vectors: Float[Array, "*B n"]) -> Tree:
    """Return vectors, such as the gradient with respect to a shift, as states of a single cell."""
    shapes, structure = jax.tree.flatten(jax.eval_shape(lambda: cell.initial_state(())))
    ends = np.cumsum([part.size for part in shapes]).tolist()
    parts = jnp.split(vectors, ends[:-1], axis=-1)
    return structure.unflatten(
        [part.reshape(*part.shape[:-1], *shape.shape) for part, shape in zip(parts, shapes, strict=True)]
    )
