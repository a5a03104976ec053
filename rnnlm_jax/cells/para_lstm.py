"""The coupled LSTM with peepholes whose recurrent matrices are diagonal, so that it runs in parallel over time."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.lstm import LSTMState, log_output_slopes, zero_state
from rnnlm_jax.cells.para_gru import initial_diagonals, spread_gate_biases


@serialized
class ParaLSTMParams(NamedTuple):
    """The input map and its bias, gates in the order f, g, o; diagonals of recurrent matrices; peepholes of f and o."""

    w_x: Float[Array, "D 3*H"]
    b: Float[Array, " 3*H"]
    diag_f: Float[Array, " H"]
    diag_g: Float[Array, " H"]
    diag_o: Float[Array, " H"]
    peep_f: Float[Array, " H"]
    peep_o: Float[Array, " H"]


def gates(params: ParaLSTMParams, state: LSTMState, z: Array) -> tuple[Array, Array, Array]:
    """Return the pre-activations of f and g, and that of o without its peephole, which reads the new cell."""
    f, g, o = linear_maps.split_gates(z.astype(state.cell.dtype), 3)
    d_f, d_g, d_o, p_f = (
        over_batch(d, state.cell) for d in (params.diag_f, params.diag_g, params.diag_o, params.peep_f)
    )
    return f + d_f * state.hidden + p_f * state.cell, g + d_g * state.hidden, o + d_o * state.hidden


def log_slopes(params: ParaLSTMParams, before: LSTMState, after: LSTMState, z: Array, r: Array) -> Array:
    """Return ``ln|∂c_t/∂c_{t-1}| + ln|tanh(c_t) σ'(o) d_o|``, as in ``log_output_slopes``, for 2 x 2 blocks.

    ``∂c_t/∂c_{t-1} = f (1 + p_f (c_{t-1} - g) (1 - f))``, with f and g after their activations.
    """
    del r
    f, g, o = gates(params, before, z)
    d_o, p_f, p_o = (over_batch(p, before.cell) for p in (params.diag_o, params.peep_f, params.peep_o))
    through_gate = 1 + p_f * (before.cell - tanh(g)) * sigmoid(-f)
    along_cell = log_sigmoid(f) + jnp.log(jnp.abs(through_gate))
    return along_cell + log_output_slopes(after, o + p_o * after.cell) + jnp.log(jnp.abs(d_o))


@cell_factory
def para_lstm(
    hidden_size: int,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ParaLSTMParams, LSTMState]:
    """Return the coupled LSTM with diagonal recurrent matrices, ParaLSTM (Danieli et al. 2025, arXiv:2510.21450).

    With ``f, g, o`` the three blocks of ``x_t W_x + b``, diagonals d and peepholes p,

        φ   = σ(f + d_f h_{t-1} + p_f c_{t-1})
        c_t = φ c_{t-1} + (1 - φ) tanh(g + d_g h_{t-1})
        h_t = σ(o + d_o h_{t-1} + p_o c_t) tanh(c_t):

    the two numbers of a unit depend on each other only. The input map is dense; the authors' code can also divide it
    into heads.

    Initial values are those of the authors' code (apple/ml-pararnn): ``d, p ~ N(0, 4/(5H))``, ``W_x`` by Glorot, ``b``
    zero but for the forget gate, whose biases go from 0 to -1 evenly over the units.

    Args:
        hidden_size: H.
        dtype: dtype of the matrix product; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def recurrence(key: Key) -> dict[str, Array]:
        zeros = jnp.zeros((hidden_size,), param_dtype)
        b = jnp.concatenate([spread_gate_biases(hidden_size, param_dtype), zeros, zeros])
        names = ("diag_f", "diag_g", "diag_o", "peep_f", "peep_o")
        return {"b": b, **initial_diagonals(key, names, hidden_size, param_dtype)}

    def update(params: ParaLSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del r
        f, g, o = gates(params, state, z)
        cell = interpolate(sigmoid(f), sigmoid(-f), state.cell, tanh(g))
        return LSTMState(sigmoid(o + over_batch(params.peep_o, cell) * cell) * tanh(cell), cell)

    return Cell(
        spec=CellSpec("para-lstm", hidden_size, hidden_size, dtype, param_dtype),
        init=linear_maps.initial_maps(
            ParaLSTMParams, hidden_size, (0.0, 0.0, 0.0), None, param_dtype, extra=recurrence
        ),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.no_recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            jacobian=JacobianStructure.BLOCK,
            log_determinant=LogDeterminant(log_slopes),
            recurrent_matrices=(),
        )
    )
