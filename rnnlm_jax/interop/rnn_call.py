"""What a call of Flax's ``RNN`` means, said with ``unroll``: which axis is time, lengths, the order of outputs."""

from typing import Any

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Tree
from rnnlm_jax.arrays.array_arguments import as_array
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.combinators import Bidirectional, Stack
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import unroll


def check_cell(cell: Any, user: str) -> None:
    """Refuse what is no cell, or has nothing to run.

    Raises:
        UserError: naming ``user``, which was given it.
    """
    if not isinstance(cell, Cell):
        raise UserError(f"{user} takes a cell of this library, such as cells.lstm(64), not {type(cell).__name__}")
    if not cell.spec.output_size:
        raise UserError(f"{user} takes a cell with units: a cell of kind {cell.spec.kind!r} has nothing to run")


def steps(cell: Cell) -> bool:
    """Whether a cell can go one step: a bidirectional one cannot, nor a stack with one in it."""
    if isinstance(cell, Stack):
        return all(map(steps, cell.layers))
    return not isinstance(cell, Bidirectional)


def vectors(inputs: Any, axes: tuple[str, ...] = ("features",)) -> Array:
    """Inputs that have at least the axes named.

    Raises:
        UserError: for fewer axes, and for integers and truth values, such as tokens that nobody has looked up.
    """
    inputs = as_array("inputs", inputs)
    if inputs.ndim < len(axes):
        raise UserError(f"inputs are (*batch, {', '.join(axes)}) or time first, not of shape {inputs.shape}")
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise UserError(f"inputs are vectors of floating-point numbers, not of {inputs.dtype}: embed tokens first")
    return inputs


def rnn_call(
    cell: Cell,
    params: Tree,
    inputs: Float[Array, "*B T D"],
    initial_carry: Tree | None,
    *,
    seq_lengths: Int[Array, "*B"] | None,
    mask: Array | None,
    resets: Array | None,
    time_major: bool,
    reverse: bool,
    keep_order: bool,
    unroll_factor: int,
    remat_chunk: int | str | None,
    executor: str | None,
) -> tuple[Tree, Float[Array, "*B T H"]]:
    """The last state of each sequence, and all outputs in the axes of the inputs: ``[*B, T, ·]`` or ``[T, *B, ·]``.

    Without ``keep_order`` the outputs of a reversed run are in the order in which they came about; what lies beyond a
    sequence's length stays at its end.

    Raises:
        UserError: if shapes or dtypes do not fit each other or the parameters, see also ``unroll``.
    """
    axis = 0 if time_major else inputs.ndim - 2
    batch = (*inputs.shape[:axis], *inputs.shape[axis + 1 : -1])
    lengths = _whole_numbers(seq_lengths, batch, inputs.shape[axis])
    xs = jnp.moveaxis(inputs, axis, 0)
    state, hs = unroll(
        cell,
        params,
        cell.initial_state(batch) if initial_carry is None else initial_carry,
        xs,
        mask=_at_each_step("mask", mask, inputs.shape[:-1], axis),
        lengths=lengths,
        resets=_at_each_step("resets", resets, inputs.shape[:-1], axis),
        reverse=reverse,
        scan_unroll=unroll_factor,
        remat_chunk=remat_chunk,
        executor=executor,
    )
    if reverse and not keep_order:
        hs = flipped(hs, lengths)
    return state, jnp.moveaxis(hs, 0, axis)


def flipped(hs: Float[Array, "T *B H"], lengths: Int[Array, "*B"] | None) -> Float[Array, "T *B H"]:
    """Each sequence from its last step to its first; what lies beyond its length stays there."""
    if lengths is None:
        return hs[::-1]
    steps = hs.shape[0]
    backwards = jnp.arange(steps - 1, -1, -1, dtype=lengths.dtype).reshape(steps, *(1 for _ in lengths.shape))
    return jnp.take_along_axis(hs, ((backwards + lengths[None]) % steps)[..., None], axis=0)


def _whole_numbers(lengths: Any, batch: tuple[int, ...], steps: int) -> Array | None:
    """Lengths as int32 from 0 to T."""
    if lengths is None:
        return None
    lengths = as_array("seq_lengths", lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise UserError(f"seq_lengths are whole numbers, one a sequence, not of {lengths.dtype}")
    if lengths.shape != batch:
        raise UserError(f"seq_lengths has shape {lengths.shape}, but the inputs ask for {batch}, one a sequence")
    return jnp.clip(lengths.astype(jnp.int32), 0, steps)


def _at_each_step(name: str, value: Any, shape: tuple[int, ...], axis: int) -> Array | None:
    """A truth value of each step, time first."""
    if value is None:
        return None
    value = as_array(name, value)
    if value.shape != shape:
        raise UserError(f"{name} has shape {value.shape}, but the inputs ask for {shape}, one value a step")
    return jnp.moveaxis(value, axis, 0)
