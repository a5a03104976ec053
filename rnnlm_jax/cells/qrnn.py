"""The quasi-recurrent network: gates from a causal convolution over the inputs, and elementwise pooling."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant

#: Gates of each pooling, in their order on the last axis.
GATES = {"f": "fg", "fo": "fgo", "ifo": "ifgo"}


@serialized
class QRNNParams(NamedTuple):
    """The convolution's K = k matrices side by side, the newest input's first, and the bias.

    Each matrix has the gates of the pooling, in the order i, f, g, o, as far as it has them; g is the candidate.
    """

    w_x: Float[Array, "D K*G*H"]
    b: Float[Array, " G*H"]


@serialized
class QRNNState(NamedTuple):
    """The pooled state c, and what earlier inputs contribute to the convolution; both None if k is 1.

    Block j of ``pending`` holds ``Σ_{i>j} W_i x_{t+j+1-i}``, the part in all gates of step ``t + j + 1``, for j from 0
    to k - 2. ``due`` is the part of earlier inputs in the output gate of this step; None also without an output gate.
    """

    cell: Float[Array, "*B H"]
    due: Float[Array, "*B H"] | None
    pending: Float[Array, "*B J*G*H"] | None


@cell_factory
def qrnn(
    hidden_size: int,
    pooling: str = "fo",
    window_size: int = 2,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[QRNNParams, QRNNState]:
    """Return the quasi-recurrent network, QRNN (Bradbury et al. 2017, section 2, eqs. 1-5).

    With the gates ``a_t = Σ_{j<k} W_j x_{t-j} + b`` of a causal convolution of width k,

        c_t = σ(f) c_{t-1} + (1 - σ(f)) tanh(g),    h_t = c_t             with ``pooling="f"``,
                                                    h_t = σ(o) c_t        with ``pooling="fo"``,
        c_t = σ(f) c_{t-1} + σ(i) tanh(g),          h_t = σ(o) c_t        with ``pooling="ifo"``.

    All products are one input projection. The state keeps the sums that earlier inputs contribute to later steps, so
    that a text may be cut anywhere; inputs before the first, or before a reset, count as zeros. At first W and b are
    uniform within ``±1/√(k D)``, as in the authors' code (a linear layer of torch).

    Args:
        hidden_size: H.
        pooling: "f", "fo", or "ifo", the gates that there are.
        window_size: k, the number of inputs that the gates read; 1 reads x_t only.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for another pooling, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    window = check_size("window_size", window_size)
    gates = GATES[check_choice("pooling", pooling, GATES)]
    step_size = len(gates) * hidden_size  # of one step's gates

    def init(key: Key, input_size: int) -> QRNNParams:
        check_size("input_size", input_size)
        w_key, b_key = jax.random.split(key)
        limit = 1 / math.sqrt(window * input_size)

        def uniform(key: Key, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, param_dtype, -limit, limit)

        return QRNNParams(uniform(w_key, (input_size, window * step_size)), uniform(b_key, (step_size,)))

    def initial_state(batch_shape: tuple[int, ...]) -> QRNNState:
        def zeros(size: int) -> Array:
            return jnp.zeros((*check_batch_shape(batch_shape), size), param_dtype)

        return QRNNState(
            cell=zeros(hidden_size),
            due=zeros(hidden_size) if window > 1 and "o" in gates else None,
            pending=zeros((window - 1) * step_size) if window > 1 else None,
        )

    def input_projection(params: QRNNParams, x: Array) -> Array:
        z = linear_maps.product(x, params.w_x, dtype)
        b = jnp.concatenate([params.b, jnp.zeros(((window - 1) * step_size,), params.b.dtype)])  # once a step
        return z + jnp.broadcast_to(b, z.shape).astype(dtype)

    def recurrent_projection(params: QRNNParams, state: QRNNState) -> Array:
        del params
        return jnp.zeros_like(state.cell)  # no unit reads another

    def blocks_of(a: Array) -> dict[str, Array]:
        return dict(zip(gates, linear_maps.split_gates(a, len(gates)), strict=True))

    def update(params: QRNNParams, state: QRNNState, z: Array, r: Array) -> QRNNState:
        del params, r
        newest, older = jnp.split(z.astype(param_dtype), [step_size], axis=-1)
        due = pending = None
        if state.pending is not None:
            now, later = jnp.split(state.pending, [step_size], axis=-1)
            pending = older + jnp.concatenate([later, jnp.zeros_like(now)], axis=-1)
            due = None if state.due is None else blocks_of(now)["o"]
            newest = newest + now
        a = blocks_of(newest)
        f, g = a["f"], tanh(a["g"])
        if "i" in a:
            cell = sigmoid(f) * state.cell + sigmoid(a["i"]) * g
        else:
            cell = interpolate(sigmoid(f), sigmoid(-f), state.cell, g)
        return QRNNState(cell, due, pending)

    def gated_readout(params: QRNNParams, state: QRNNState, z: Array) -> Array:
        del params
        o = blocks_of(z[..., :step_size].astype(param_dtype))["o"]
        return sigmoid(o if state.due is None else o + state.due) * state.cell

    def readout(params: QRNNParams, state: QRNNState) -> Array:
        del params
        return state.cell

    def log_slopes(params: QRNNParams, before: QRNNState, after: QRNNState, z: Array, r: Array) -> Array:
        del params, before, after, r
        return log_sigmoid(blocks_of(z.astype(param_dtype))["f"])

    linear = window == 1
    gated = "o" in gates
    return Cell(
        spec=CellSpec(
            "qrnn", hidden_size, hidden_size, dtype, param_dtype, (("pooling", pooling), ("window_size", window))
        ),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        recurrent_projection=recurrent_projection,
        update=update,
        readout=None if gated else readout,
        gated_readout=gated_readout if gated else None,
    ).with_facts(
        CellFacts(
            is_linear=linear,
            jacobian=JacobianStructure.DIAGONAL if linear else JacobianStructure.BLOCK,
            newton_iterations=None if linear else 2,  # given the sums of earlier inputs, c is linear
            log_determinant=LogDeterminant(log_slopes) if linear else None,
            recurrent_matrices=(),
        )
    )
