"""The LSTM as first published, without a forget gate."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.lstm import LSTMState, log_output_slopes, zero_state


@serialized
class LSTM1997Params(NamedTuple):
    """Two linear maps and a bias; gates on the last axis in the order i, g, o."""

    w_x: Float[Array, "D 3*H"]
    w_h: Float[Array, "H 3*H"]
    b: Float[Array, " 3*H"]


def log_slopes(params: LSTM1997Params, before: LSTMState, after: LSTMState, z: Array, r: Array) -> Array:
    """Return ``ln|tanh(c_t) σ'(o)|``; ``∂c_t/∂c_{t-1}`` is 1."""
    del params
    _, _, o = linear_maps.split_gates(linear_maps.preactivation(z, r, before.cell), 3)
    return log_output_slopes(after, o)


@cell_factory
def lstm_1997(
    hidden_size: int,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[LSTM1997Params, LSTMState]:
    """Return the LSTM without a forget gate (Hochreiter & Schmidhuber 1997).

    With ``i, g, o`` the three blocks of ``x_t W_x + h_{t-1} W_h + b``,

        c_t = c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t):

    the weight of ``c_{t-1}`` is exactly 1 (the constant error carousel), so contents only accumulate. Both squashing
    functions are tanh; the paper's, sigmoids scaled to (-2, 2) and (-1, 1), are 2 tanh(·/2) and tanh(·/2).

    Args:
        hidden_size: H.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def update(params: LSTM1997Params, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del params
        i, g, o = linear_maps.activate_gates(linear_maps.preactivation(z, r, state.cell), 3, candidate=1)
        cell = state.cell + i * g
        return LSTMState(o * tanh(cell), cell)

    return Cell(
        spec=CellSpec("lstm-1997", hidden_size, hidden_size, dtype, param_dtype),
        init=linear_maps.initial_maps(LSTM1997Params, hidden_size, (0.0, 0.0, 0.0), recurrent_init, param_dtype),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            log_determinant=LogDeterminant(log_slopes, linear_maps.last_block(hidden_size, dtype)),
            recurrent_matrices=("w_h",),
        )
    )
