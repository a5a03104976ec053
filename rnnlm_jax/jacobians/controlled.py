"""Masks, lengths and resets for everything that runs a cell over time: a cell that reads them beside its inputs."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll.control import make_control, select


class Controlled(NamedTuple):
    """A cell whose inputs say what happens at each step, and these inputs."""

    cell: Cell
    xs: Float[Array, "T *B D+2"]


def controlled(
    cell: Cell,
    xs: Float[Array, "T *B D"],
    *,
    mask: Bool[Array, "T *B"] | None = None,
    lengths: Int[Array, "*B"] | None = None,
    resets: Bool[Array, "T *B"] | None = None,
) -> Controlled:
    """A cell and inputs with masks and resets, to be given to any function of this package in place of one's own.

        cell, xs = controlled(cell, xs, mask=mask, resets=resets)
        spectrum(cell, params, state, xs)

    They mean what they mean to ``unroll``. A step that is masked keeps the state, ``J_t = I``, and its input is never
    read; a reset before step t puts the initial state in place of ``s_{t-1}``, so ``J_t = 0`` and nothing of what was
    before reaches any later state. Outputs of masked steps are read from the state that was kept: leave them out of a
    loss. Parameters and states stay those of the cell. Log-determinants are computed by LU.

    Args:
        cell: any cell that can be stepped.
        xs: its inputs.
        mask: which steps count.
        lengths: the number of leading steps that count; with a mask, a step must pass both.
        resets: before which steps the state starts anew.

    Raises:
        UserError: if a shape does not fit the inputs, or a value is out of range (see ``unroll``).
    """
    xs = as_floats("inputs", xs, cell.spec.param_dtype)
    if xs.ndim < 2:
        raise UserError(f"inputs are [T, *B, D], at least time and features, not of shape {xs.shape}")
    shape = xs.shape[:-1]
    control = make_control(shape[0], shape[1:], mask, lengths=lengths, resets=resets)
    mask = jnp.ones(shape, bool) if control.mask is None else control.mask
    resets = jnp.zeros(shape, bool) if control.resets is None else control.resets
    flags = jnp.stack([mask, resets], axis=-1).astype(xs.dtype)
    return Controlled(_with_flags(cell), jnp.concatenate([select(mask, xs, 0), flags], axis=-1))


@functools.cache
def _with_flags(cell: Cell) -> Cell:
    """A cell whose inputs, and projected inputs, end with two flags: whether the step counts, and a reset."""

    def input_projection(params: Tree, xs: Array) -> Array:
        zs = cell.input_projection(params, xs[..., :-2])
        return jnp.concatenate([zs, xs[..., -2:].astype(zs.dtype)], axis=-1)

    def whole_step(params: Tree, state: Tree, z: Array) -> Tree:
        z, control = _parted(z)
        before = select(control.resets, cell.initial_state(z.shape[:-1]), state)
        return select(control.mask, cell.step(params, before, z), before)

    changed: dict[str, Any] = {"input_projection": input_projection}
    if cell.recurrent_projection is None or cell.update is None:
        return dataclasses.replace(cell, whole_step=whole_step, **changed)
    recurrent_projection, plain_update = cell.recurrent_projection, cell.update

    def update(params: Tree, state: Tree, z: Array, r: Array) -> Tree:
        z, control = _parted(z)
        fresh = cell.initial_state(z.shape[:-1])
        before = select(control.resets, fresh, state)
        r = select(control.resets, recurrent_projection(params, fresh), r)
        return select(control.mask, plain_update(params, before, z, r), before)

    return dataclasses.replace(cell, update=update, additive=False, **changed)


class _Flags(NamedTuple):
    """Of one step."""

    mask: Bool[Array, "*B"]
    resets: Bool[Array, "*B"]


def _parted(z: Array) -> tuple[Array, _Flags]:
    """A projected input, and the flags at its end."""
    return z[..., :-2], _Flags(mask=z[..., -2] != 0, resets=z[..., -1] != 0)
