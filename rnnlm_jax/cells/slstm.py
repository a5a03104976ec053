"""The sLSTM of xLSTM: exponential gates, a normaliser, and recurrent products within heads."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.log_slopes import log_sigmoid_slope
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.exponential_gates import log_forget_gate, stabilise
from rnnlm_jax.cells.matrix_state import by_head, side_by_side, size_of_heads


@serialized
class SLSTMParams(NamedTuple):
    """Two linear maps and a bias; gates on the last axis in the order i, f, g, o."""

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H _"]
    """The recurrent matrices of the heads, one below the other: ``[heads · d, 4 d]`` with ``d = H / heads``."""
    b: Float[Array, " 4*H"]


@serialized
class SLSTMState(NamedTuple):
    """Hidden state h, cell state c, normaliser n and stabiliser m; c and n are divided by ``e^m``."""

    hidden: Float[Array, "*B heads d"]
    cell: Float[Array, "*B heads d"]
    normalizer: Float[Array, "*B heads d"]
    stabilizer: Float[Array, "*B heads d"]


def forget_biases(size: int) -> np.ndarray:
    """Return ``5 - 12 (j / (d - 1))^0.3`` for unit j of a head of d, from long memory to short: the authors' values."""
    return 5.0 - 12.0 * (np.arange(size) / max(size - 1, 1)) ** 0.3


@cell_factory
def slstm(
    hidden_size: int,
    heads: int = 1,
    recurrent_init: str | Initializer = "zeros",
    *,
    forget: str = "sigmoid",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[SLSTMParams, SLSTMState]:
    """Return the sLSTM (xLSTM: Beck et al. 2024, eqs. 8-17).

    With ``i, f, g, o`` the four blocks of ``x_t W_x + h_{t-1} W_h + b``,

        c_t = f̂ c_{t-1} + e^i tanh(g),    n_t = f̂ n_{t-1} + e^i,    h_t = σ(o) c_t / n_t,    f̂ = σ(f) or e^f,

    computed with c and n divided by ``e^{m_t}``, ``m_t = max(i, ln f̂ + m_{t-1})``, so that no exponential overflows;
    where n is zero, ``m_t = i``, as in the authors' code. W_h has one matrix for each head. The state is redundant:
    multiplying c and n by a number and subtracting its logarithm from m changes no output. So the step Jacobian has a
    null direction for each unit whose input gate sets m.

    The paper's block also convolves the inputs of i and f over four steps, and normalises h_t by head: both are left
    out. ``W_h`` starts at zero, W_x normal of variance ``2 / (5 D)``, biases at zero but for those of the forget gates,
    which fall from 5 to -7 within each head, as in the authors' code.

    Args:
        hidden_size: H.
        heads: number of heads, whose units meet in the recurrent product; divides H.
        recurrent_init: initialiser of each head's and gate's block of ``w_h``, see ``elman``.
        forget: "sigmoid" or "exp", the activation of the forget gate.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if ``heads`` does not divide H, or for an unknown initialiser or forget gate.
    """
    size = size_of_heads(hidden_size, heads)
    log_forget = log_forget_gate(forget)
    recurrent = initializers.recurrent_initializer(recurrent_init)

    def init(key: Key, input_size: int) -> SLSTMParams:
        check_size("input_size", input_size)
        input_key, recurrent_key = jax.random.split(key)
        drawn = [recurrent(k, (size, size), param_dtype) for k in jax.random.split(recurrent_key, 4 * heads)]
        w_h = [jnp.concatenate(drawn[4 * head : 4 * head + 4], axis=1) for head in range(heads)]
        zeros = jnp.zeros((hidden_size,), param_dtype)
        b_f = jnp.asarray(np.tile(forget_biases(size), heads), param_dtype)
        return SLSTMParams(
            w_x=initializers.small(input_key, (input_size, 4 * hidden_size), param_dtype),
            w_h=jnp.concatenate(w_h),
            b=jnp.concatenate([zeros, b_f, zeros, zeros]),
        )

    def initial_state(batch_shape: tuple[int, ...]) -> SLSTMState:
        shape = (*check_batch_shape(batch_shape), heads, size)
        return SLSTMState(*(jnp.zeros(shape, param_dtype) for _ in SLSTMState._fields))

    def recurrent_projection(params: SLSTMParams, state: SLSTMState) -> Array:
        if heads == 1:
            return linear_maps.product(state.hidden[..., 0, :], params.w_h, dtype)
        w_h = params.w_h.reshape(heads, size, 4 * size).astype(dtype)
        r = jnp.einsum("...hi,hig->...hg", state.hidden.astype(dtype), w_h)
        by_gate = r.reshape(*r.shape[:-1], 4, size).swapaxes(-2, -3)
        return by_gate.reshape(*r.shape[:-2], 4 * hidden_size)

    def update(params: SLSTMParams, state: SLSTMState, z: Array, r: Array) -> SLSTMState:
        del params
        i, f, g, o = (by_head(gate, heads) for gate in linear_maps.split_gates(preactivations(z, r), 4))
        gates = stabilise(i, log_forget(f) + state.stabilizer, empty=state.normalizer == 0)
        cell = gates.forget_gate * state.cell + gates.input_gate * tanh(g)
        normalizer = gates.forget_gate * state.normalizer + gates.input_gate
        return SLSTMState(sigmoid(o) * cell / normalizer, cell, normalizer, gates.stabiliser)

    def preactivations(z: Array, r: Array) -> Array:
        return z.astype(param_dtype) + r.astype(param_dtype)

    def readout(params: SLSTMParams, state: SLSTMState) -> Array:
        del params
        return side_by_side(state.hidden)

    def log_slopes(params: SLSTMParams, before: SLSTMState, after: SLSTMState, z: Array, r: Array) -> Array:
        """Return ``ln|c_t / n_t| + ln σ'(o)``, and -inf where the input gate sets m: it then forgets m_{t-1}.

        As for other LSTMs (``lstm.log_output_slopes``), the rest is ``det ∂(c_t, n_t, m_t)/∂(c, n, m)_{t-1}``, which is
        triangular with a diagonal of ones where the forget gate sets m.
        """
        del params
        i, f, _, o = linear_maps.split_gates(preactivations(z, r), 4)
        forgotten = log_forget(f) + side_by_side(before.stabilizer)
        forgets_scale = (i >= forgotten) | (side_by_side(before.normalizer) == 0)
        ratio = side_by_side(after.cell / after.normalizer)
        return jnp.where(forgets_scale, -jnp.inf, jnp.log(jnp.abs(ratio)) + log_sigmoid_slope(o))

    def output_block(params: SLSTMParams) -> Array:
        """Return the matrix ``[H, H]`` from hidden units to output gates."""
        blocks = linear_maps.rounded(params.w_h[:, -size:], dtype).reshape(heads, size, size)
        return jax.scipy.linalg.block_diag(*blocks)

    return Cell(
        spec=CellSpec("slstm", hidden_size, hidden_size, dtype, param_dtype, (("heads", heads), ("forget", forget))),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=recurrent_projection,
        update=update,
        additive=True,
        readout=readout,
    ).with_facts(
        CellFacts(
            jacobian=JacobianStructure.DENSE if heads == 1 else JacobianStructure.BLOCK,
            blocks=None if heads == 1 else heads,
            log_determinant=LogDeterminant(log_slopes, output_block),
            recurrent_matrices=("w_h",),
        )
    )
