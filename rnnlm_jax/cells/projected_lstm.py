"""The LSTM with a recurrent projection: many units and few weights."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.lstm import LSTMState, log_slopes, zero_state


@serialized
class ProjectedLSTMParams(NamedTuple):
    """Two linear maps and a bias, gates in the order i, f, g, o; and the projection ``w_p``."""

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "P 4*H"]
    b: Float[Array, " 4*H"]
    w_p: Float[Array, "H P"]


@cell_factory
def projected_lstm(
    hidden_size: int,
    projection_size: int | None = None,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "glorot",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ProjectedLSTMParams, LSTMState]:
    """Return the LSTM with a recurrent projection, LSTMP (Sak, Senior & Beaufays 2014, eqs. 1-7, without peepholes).

    With ``i, f, g, o`` the four blocks of ``x_t W_x + (m_{t-1} W_p) W_h + b``,

        c_t = σ(f) c_{t-1} + σ(i) tanh(g),    m_t = σ(o) tanh(c_t),    h_t = m_t W_p.

    The state's ``hidden`` is m, of size H. ``recurrent_projection`` and ``readout`` project it to size P, so that the
    update stays elementwise.

    Args:
        hidden_size: H.
        projection_size: P, also the output size; H/4, at least 1, unless given.
        forget_bias: initial value of the forget gate's block of ``b``; nothing is added to it later.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    output_size = max(1, hidden_size // 4) if projection_size is None else projection_size
    output_size = check_size("projection_size", output_size)
    biases = (0.0, forget_bias, 0.0, 0.0)

    def projection(key: Key) -> dict[str, Array]:
        return {"w_p": initializers.glorot(key, (hidden_size, output_size), param_dtype)}

    def recurrent_projection(params: ProjectedLSTMParams, state: LSTMState) -> Array:
        return linear_maps.product(linear_maps.product(state.hidden, params.w_p, dtype), params.w_h, dtype)

    def update(params: ProjectedLSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del params
        i, f, g, o = linear_maps.activate_gates(linear_maps.preactivation(z, r, state.cell), 4, candidate=2)
        cell = f * state.cell + i * g
        return LSTMState(o * tanh(cell), cell)

    def projected_block(params: ProjectedLSTMParams) -> Array:
        return linear_maps.rounded(params.w_p, dtype) @ linear_maps.last_block(hidden_size, dtype)(params)

    def readout(params: ProjectedLSTMParams, state: LSTMState) -> Array:
        return linear_maps.product(state.hidden, params.w_p, dtype).astype(param_dtype)

    return Cell(
        spec=CellSpec("lstm-projected", hidden_size, output_size, dtype, param_dtype, (("forget_bias", forget_bias),)),
        init=linear_maps.initial_maps(
            ProjectedLSTMParams,
            hidden_size,
            biases,
            recurrent_init,
            param_dtype,
            feedback_size=output_size,
            extra=projection,
        ),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=recurrent_projection,
        update=update,
        additive=True,
        readout=readout,
    ).with_facts(
        CellFacts(
            log_determinant=LogDeterminant(
                log_slopes, projected_block, null_directions=max(0, hidden_size - output_size)
            ),
            recurrent_matrices=("w_h",),
        )
    )
