"""Masks, lengths and resets for the functions of this package: a cell that reads them as two further inputs."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from numpy.typing import ArrayLike

from rnnlm_jax.array_types import Array, Bool, Float, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_floats
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.unroll.control import make_control, select


class Controlled(NamedTuple):
    """A cell that reads a mask and resets from its inputs, and these inputs."""

    cell: Cell
    xs: Float[Array, "T *B D+2"]


def controlled(
    cell: Cell,
    xs: Float[Array, "T *B D"] | ArrayLike,
    *,
    mask: Bool[Array, "T *B"] | None = None,
    lengths: Int[Array, "*B"] | None = None,
    resets: Bool[Array, "T *B"] | None = None,
) -> Controlled:
    """Return a cell and inputs that include masks and resets, to pass to any function of this package.

        cell, xs = controlled(cell, xs, mask=mask, resets=resets)
        spectrum(cell, params, state, xs)

    Masks and resets have the meaning that they have in ``unroll``. A masked step keeps the state, so ``J_t = I``, and
    its input is not read. A reset before step t replaces ``s_{t-1}`` by the initial state, so ``J_t = 0``, and no
    later state depends on earlier ones. The outputs of masked steps are computed from the state that was kept: leave
    them out of a loss. Parameters and states are those of the given cell, and so is the structure of its Jacobian.
    Log-determinants are computed from the Jacobians, without a closed form.

    Args:
        cell: any cell that can be stepped.
        xs: its inputs.
        mask: True for the steps that are computed.
        lengths: number of leading steps that are computed; with a mask, a step must be allowed by both.
        resets: True for steps before which the state is reset.

    Raises:
        ArgumentError: if a shape does not fit the inputs, or a value is out of range (see ``unroll``).
    """
    xs = as_floats("xs", xs, cell.spec.param_dtype)
    if xs.ndim < 2:
        raise ArgumentError(f"`xs` must be inputs [T, *B, D] with at least time and features, not of shape {xs.shape}")
    shape = xs.shape[:-1]
    control = make_control(shape[0], shape[1:], mask, lengths=lengths, resets=resets)
    mask = jnp.ones(shape, bool) if control.mask is None else control.mask
    resets = jnp.zeros(shape, bool) if control.resets is None else control.resets
    flags = jnp.stack([mask, resets], axis=-1).astype(xs.dtype)
    return Controlled(_with_flags(cell), jnp.concatenate([select(mask, xs, 0), flags], axis=-1))


@functools.cache
def _with_flags(cell: Cell) -> Cell:
    """Return a cell whose inputs, and projected inputs, end with two flags: mask and reset."""

    def input_projection(params: Tree, xs: Array) -> Array:
        zs = cell.input_projection(params, xs[..., :-2])
        return jnp.concatenate([zs, xs[..., -2:].astype(zs.dtype)], axis=-1)

    def whole_step(params: Tree, state: Tree, z: Array) -> Tree:
        z, control = _split_flags(z)
        before = select(control.resets, cell.initial_state(z.shape[:-1]), state)
        return select(control.mask, cell.step(params, before, z), before)

    def gated_readout(params: Tree, state: Tree, z: Array) -> Array:
        return cell.output(params, state, z[..., :-2])

    changed: dict[str, Any] = {"input_projection": input_projection}
    if cell.gated_readout is not None:
        changed["gated_readout"] = gated_readout
    # The identity and zero are diagonal, so that the structure holds.
    kept = CellFacts(jacobian=cell.facts.jacobian, blocks=cell.facts.blocks)
    if cell.recurrent_projection is None or cell.update is None:
        return dataclasses.replace(cell, whole_step=whole_step, **changed).with_facts(kept)
    recurrent_projection, cell_update = cell.recurrent_projection, cell.update

    def update(params: Tree, state: Tree, z: Array, r: Array) -> Tree:
        z, control = _split_flags(z)
        initial = cell.initial_state(z.shape[:-1])
        before = select(control.resets, initial, state)
        r = select(control.resets, recurrent_projection(params, initial), r)
        return select(control.mask, cell_update(params, before, z, r), before)

    return dataclasses.replace(cell, update=update, additive=False, **changed).with_facts(kept)


class _Flags(NamedTuple):
    """Mask and reset of one step."""

    mask: Bool[Array, "*B"]
    resets: Bool[Array, "*B"]


def _split_flags(z: Array) -> tuple[Array, _Flags]:
    """Return a projected input without the flags at its end, and the flags."""
    return z[..., :-2], _Flags(mask=z[..., -2] != 0, resets=z[..., -1] != 0)
