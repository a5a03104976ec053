"""An executor for the LSTM on CPUs: all steps of time in one call of a native kernel."""

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Float, Tree
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.lstm import LSTMParams, LSTMState
from rnnlm_jax.errors import UserError
from rnnlm_jax.native import unavailable
from rnnlm_jax.native.lstm import lstm
from rnnlm_jax.native.operation import DATA_TYPES
from rnnlm_jax.unroll.control import Control


def native_refuses(cell: Cell, params: Tree, xs: Float[Array, "T *B D"], control: Control, platform: str) -> str | None:
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


def _refuses_cell(cell: Cell, params: Tree, xs: Float[Array, "T *B D"]) -> str | None:
    if cell.spec.kind != "lstm" or not isinstance(params, LSTMParams):
        return f"it runs the plain LSTM only, and this is a {cell.spec.kind} cell"
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
    xs: Float[Array, "T *B D"],
    control: Control,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Tree, Float[Array, "T *B H"]]:
    """Run an LSTM over time as ``scan`` does, ``h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})``, in kernels made for a CPU.

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
    steps, batch, units = xs.shape[0], xs.shape[1:-1], cell.spec.hidden_size
    dtype = cell.spec.param_dtype

    def factors(flags: Bool[Array, "T *B"] | None) -> Float[Array, "T B"]:
        return jnp.zeros((0, 0), dtype) if flags is None else flags.reshape(steps, -1).astype(dtype)

    hs, hidden, carousel = lstm(
        cell.project(params._replace(b=None), xs).reshape(steps, -1, 4 * units),
        params.w_h,
        jnp.zeros(4 * units, dtype) if params.b is None else params.b,
        state.hidden.reshape(-1, units),
        state.cell.reshape(-1, units),
        factors(control.mask),
        factors(None if control.resets is None else ~control.resets),
        reverse,
    )
    final = LSTMState(hidden.reshape(*batch, units), carousel.reshape(*batch, units))
    hs = hs.reshape(steps, *batch, units)
    return final, cell.readout(params, LSTMState(hs, hs))  # what it reads is the hidden part
