"""An executor for the LSTM on NVIDIA GPUs: all steps of time in one call of cuDNN."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.mesh_axes import varying_axes
from rnnlm_jax.cells.cell import Cell
from rnnlm_jax.cells.lstm import LSTMParams, LSTMState
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll.control import Control


def cudnn_refuses(cell: Cell, params: Tree, xs: Float[Array, "T B D"], control: Control, platform: str) -> str | None:
    """Say why ``cudnn`` cannot run this, as the end of a sentence; None if it can.

    Args:
        cell: the cell.
        params: its parameters.
        xs: the inputs.
        control: masks and resets.
        platform: what the program will run on, such as ``jax.default_backend()``.
    """
    dtypes = {cell.spec.dtype, cell.spec.param_dtype, xs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))}
    if cell.spec.kind != "lstm" or not isinstance(params, LSTMParams):
        return f"it runs the plain LSTM only, and this is a {cell.spec.kind} cell"
    if not cell.is_of_the_library:
        return "it runs the plain LSTM only, and this one was changed after it was made"
    if dtypes != {jnp.dtype("float32")}:
        return f"it computes in float32 only, not in {', '.join(sorted(map(str, dtypes - {jnp.dtype('float32')})))}"
    if 0 in xs.shape:
        return f"it runs no empty arrays, and the inputs are of shape {xs.shape}"
    if control.mask is not None:
        return "it runs every sequence to its end, without a mask or lengths"
    if control.resets is not None:
        return "it cannot reset a state inside a sequence"
    if varying_axes(xs):
        return "inside jax.shard_map it needs check_vma=False, since jax does not tell what varies in its results"
    if platform not in ("gpu", "cuda"):
        return f"it needs an NVIDIA GPU, and this runs on {platform}"
    if (
        getattr(getattr(rnn, "gpu_rnn", None), "_cuda_rnn", None) is None
    ):  # AMD GPUs, for which gates come in another order, too
        return "it needs the CUDA plug-in of jax (pip install 'jax[cuda12]')"
    return None


def cudnn(
    cell: Cell,
    params: Tree,
    state: Tree,
    xs: Float[Array, "T B D"],
    control: Control,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Tree, Float[Array, "T B H"]]:
    """Run an LSTM over time as ``scan`` does, ``h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})``, in cuDNN's own kernels.

    Products keep all digits of float32, none of them is taken in TF32. Gradients are cuDNN's too; what it does not have
    are second derivatives, forward-mode derivatives and ``vmap``. cuDNN has a loop of its own, so that ``unroll`` says
    nothing to it.

    Returns:
        the state after the last step, and the outputs.

    Raises:
        UserError: if ``cudnn_refuses`` has a reason, whatever the platform.
    """
    del unroll
    reason = cudnn_refuses(cell, params, xs, control, "cuda")
    if reason is not None:
        raise UserError(f"cuDNN cannot run this cell: {reason}; use the scan executor")
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
    hs, hidden, carousel = outputs
    hs = jnp.swapaxes(hs, 0, 1)
    return LSTMState(hidden[0], carousel[0]), jnp.flip(hs, axis=0) if reverse else hs


def packed_weights(params: LSTMParams) -> Float[Array, "4*H*(D+H+2)"]:
    """``W_xᵀ, W_hᵀ, b, 0`` end to end, the gates i, f, g, o as here; cuDNN adds up two biases, of which one stays zero.

    The layout is that of ``jax.experimental.rnn``.
    """
    return jnp.concatenate([params.w_x.T.ravel(), params.w_h.T.ravel(), params.b, jnp.zeros_like(params.b)])
