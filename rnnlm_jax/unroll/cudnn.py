"""The executor for the LSTM on NVIDIA GPUs: all steps of time in one call of cuDNN."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.mesh_axes import varying_axes
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.lstm import LSTMParams, LSTMState
from rnnlm_jax.errors import DeviceError
from rnnlm_jax.unroll.control import Control


def why_not_cudnn(
    cell: Cell, params: LSTMParams, xs: Float[Array, "T B D"], control: Control, platform: str
) -> str | None:
    """Return why ``cudnn`` cannot run something, as a ``WhyNotFn``."""
    if not cell.facts.is_cudnn_lstm or not isinstance(params, LSTMParams):
        return f"it runs the plain LSTM only, as cells.lstm makes it, and this {cell.spec.kind} cell is not one"
    dtypes = {cell.spec.dtype, cell.spec.param_dtype, xs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))}
    if dtypes != {jnp.dtype("float32")}:
        return f"it computes in float32 only, not in {', '.join(sorted(map(str, dtypes - {jnp.dtype('float32')})))}"
    if 0 in xs.shape:
        return f"it cannot run empty arrays, and the inputs have shape {xs.shape}"
    if control.mask is not None:
        return "it runs every sequence to its end, without a mask or lengths"
    if control.resets is not None:
        return "it cannot reset a state inside a sequence"
    if varying_axes(xs):
        return "inside jax.shard_map it needs check_vma=False, since jax gives its results no varying axes"
    if platform not in ("gpu", "cuda"):
        return f"it needs an NVIDIA GPU, and this runs on {platform}"
    # AMD GPUs, for which gates are in another order, do not have it either.
    if getattr(getattr(rnn, "gpu_rnn", None), "_cuda_rnn", None) is None:
        return "it needs the CUDA plug-in of jax (pip install 'jax[cuda12]')"
    return None


def cudnn(
    cell: Cell,
    params: LSTMParams,
    state: LSTMState,
    xs: Float[Array, "T B D"],
    control: Control,
    *,
    reverse: bool = False,
    scan_unroll: int = 1,
) -> tuple[LSTMState, Float[Array, "T B H"]]:
    """Run an LSTM over time in cuDNN's kernels, an ``ExecutorFn``.

    Products keep all digits of float32; none of them is taken in TF32. Gradients are cuDNN's too. It has no second
    derivatives, no forward-mode derivatives and no ``vmap``. cuDNN has a loop of its own, so that ``scan_unroll`` has
    no effect.

    Raises:
        DeviceError: if ``why_not_cudnn`` gives a reason, the platform aside.
    """
    del scan_unroll
    reason = why_not_cudnn(cell, params, xs, control, "cuda")
    if reason is not None:
        raise DeviceError(f"cuDNN cannot run this cell: {reason}; use the scan executor")
    steps, batch, input_size = xs.shape
    xs = jnp.flip(xs, axis=0) if reverse else xs
    outputs: Any = rnn.lstm(
        jnp.swapaxes(xs, 0, 1),  # cuDNN takes the batch first
        state.hidden[None],  # and states by layer
        state.cell[None],
        packed_weights(params),
        jnp.full((batch,), steps, jnp.int32),
        input_size,
        cell.spec.hidden_size,
        num_layers=1,
        dropout=0.0,
        bidirectional=False,
        precision=jax.lax.Precision.HIGHEST,
    )
    hs, hidden, cell_state = outputs
    hs = jnp.swapaxes(hs, 0, 1)
    return LSTMState(hidden[0], cell_state[0]), jnp.flip(hs, axis=0) if reverse else hs


def packed_weights(params: LSTMParams) -> Float[Array, " N"]:
    """Return ``W_xᵀ, W_hᵀ, b, 0`` end to end, N = 4 H (D + H + 2), in the layout of ``jax.experimental.rnn``.

    Gates are i, f, g, o in both. cuDNN adds two biases, of which one is zero here.
    """
    return jnp.concatenate([params.w_x.T.ravel(), params.w_h.T.ravel(), params.b, jnp.zeros_like(params.b)])
