"""An executor for Elman networks, LSTMs and GRUs on CPUs: all steps of time in one call of a native kernel."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.cells.cell import Cell, CellSpec
from rnnlm_jax.cells.elman import ElmanParams, ElmanState
from rnnlm_jax.cells.gru import GRUParams, GRUState
from rnnlm_jax.cells.lstm import LSTMParams, LSTMState
from rnnlm_jax.errors import UserError
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.kernels.elman import elman
from rnnlm_jax.kernels.gru import gru
from rnnlm_jax.kernels.lstm import lstm
from rnnlm_jax.kernels.operation import DATA_TYPES
from rnnlm_jax.unroll.control import Control


def _elman(
    spec: CellSpec, params: ElmanParams, state: ElmanState, zs: Array, *control: Array, reverse: bool
) -> tuple[ElmanState, ElmanState]:
    activation = dict(spec.variant)["activation"]
    hs, hidden = elman(zs, params.w_h, _bias(params, zs), state.hidden, *control, reverse, activation)
    return ElmanState(hidden), ElmanState(hs)


def _lstm(
    spec: CellSpec, params: LSTMParams, state: LSTMState, zs: Array, *control: Array, reverse: bool
) -> tuple[LSTMState, LSTMState]:
    del spec
    hs, hidden, carousel = lstm(zs, params.w_h, _bias(params, zs), state.hidden, state.cell, *control, reverse)
    return LSTMState(hidden, carousel), LSTMState(hs, hs)  # of the states an LSTM reads the hidden part


def _gru(
    spec: CellSpec, params: GRUParams, state: GRUState, zs: Array, *control: Array, reverse: bool
) -> tuple[GRUState, GRUState]:
    del spec
    units = state.hidden.shape[-1]
    b_n = jnp.zeros(units, zs.dtype) if params.b_n is None else params.b_n
    hs, hidden = gru(zs, params.w_h, _bias(params, zs), b_n, state.hidden, *control, reverse)
    return GRUState(hidden), GRUState(hs)


def _bias(params: Tree, zs: Array) -> Array:
    return jnp.zeros(zs.shape[-1], zs.dtype) if params.b is None else params.b


class _Kernel(NamedTuple):
    """``run(spec, params, state, zs, counts, carries, reverse=)``: the last state, and all, as far as they are read."""

    params: type
    run: Callable[..., tuple[Tree, Tree]]


_KERNELS = {
    "elman": _Kernel(ElmanParams, _elman),
    "lstm": _Kernel(LSTMParams, _lstm),
    "gru": _Kernel(GRUParams, _gru),
}


def native_refuses(cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str) -> str | None:
    """Say why ``native`` cannot run this, as the end of a sentence; None if it can.

    Args:
        cell: the cell.
        params: its parameters.
        xs: the inputs.
        control: masks and resets, all of which it runs.
        platform: what the program will run on, such as ``jax.default_backend()``.
    """
    del control
    if platform != "cpu":
        return f"its kernels are for the CPU, and this runs on {platform}"
    return _refuses_cell(cell, params, xs) or unavailable(DATA_TYPES[cell.spec.dtype.name])


def _refuses_cell(cell: Cell, params: Tree, xs: Float[Array, "T B D"]) -> str | None:
    kernel = _KERNELS.get(cell.spec.kind)
    if kernel is None or not isinstance(params, kernel.params):
        return f"it runs the Elman network, the plain LSTM and the GRU only, and the cell is of kind {cell.spec.kind}"
    if not cell.is_of_the_library:
        return f"it runs {cell.spec.kind} cells as this library makes them, and this one was changed"
    if not cell.splits:
        return "it runs the GRU whose reset gate comes after the recurrent product, and in this one it comes before"
    dtypes = {cell.spec.dtype, cell.spec.param_dtype, xs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))}
    if dtypes not in ({jnp.dtype("float32")}, {jnp.dtype("float64")}):
        return f"it computes in float32 or in float64 throughout, not in {', '.join(sorted(map(str, dtypes)))}"
    if 0 in xs.shape:
        return f"it runs no empty arrays, and the inputs are of shape {xs.shape}"
    return None


def native(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Tree, Float[Array, "T B H"]]:
    """Run an Elman network, an LSTM or a GRU as ``scan`` does, ``s_t = update(x_t, s_{t-1})``, in a CPU's kernels.

    Derivatives of every kind are there, and so is ``vmap``; what a kernel does is the loop forward and the loop back.
    It has a loop of its own, so that ``unroll`` says nothing to it. Where kernels cannot be compiled, the same goes
    through XLA.

    Returns:
        the state after the last step, and the outputs.

    Raises:
        UserError: if ``native_refuses`` has a reason that lies in the cell or the inputs.
    """
    del unroll
    reason = _refuses_cell(cell, params, xs)
    if reason is not None:
        raise UserError(f"the native kernels cannot run this cell: {reason}; use the scan executor")
    dtype = cell.spec.param_dtype

    def factors(flags: Bool[Array, "T B"] | None) -> Float[Array, "T B"]:
        return jnp.zeros((0, 0), dtype) if flags is None else flags.astype(dtype)

    final, states = _KERNELS[cell.spec.kind].run(
        cell.spec,
        params,
        state,
        cell.input_projection(params._replace(b=None), xs),
        factors(control.mask),
        factors(None if control.resets is None else ~control.resets),
        reverse=reverse,
    )
    return final, cell.readout(params, states)
