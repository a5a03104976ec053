"""The LSTM with coupled input and forget gates."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.lstm import LSTMState, log_output_slopes, zero_state


@serialized
class CoupledLSTMParams(NamedTuple):
    """Two linear maps and a bias; gates on the last axis in the order f, g, o."""

    w_x: Float[Array, "D 3*H"]
    w_h: Float[Array, "H 3*H"]
    b: Float[Array, " 3*H"]


def log_slopes(params: CoupledLSTMParams, before: LSTMState, after: LSTMState, z: Array, r: Array) -> Array:
    """Return ``ln σ(f) + ln|tanh(c_t) σ'(o)|``."""
    del params
    f, _, o = linear_maps.split_gates(linear_maps.preactivation(z, r, before.cell), 3)
    return log_sigmoid(f) + log_output_slopes(after, o)


@cell_factory
def coupled_lstm(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[CoupledLSTMParams, LSTMState]:
    """Return the LSTM with coupled input and forget gates (Greff et al. 2017, section 3: CIFG).

    With ``f, g, o`` the three blocks of ``x_t W_x + h_{t-1} W_h + b``,

        c_t = σ(f) c_{t-1} + (1 - σ(f)) tanh(g),    h_t = σ(o) tanh(c_t):

    c is a running average of candidates, so ``|c|`` never exceeds 1.

    Args:
        hidden_size: H.
        forget_bias: initial value of the forget gate's block of ``b``; nothing is added to it later.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    biases = (forget_bias, 0.0, 0.0)

    def update(params: CoupledLSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del params
        a = linear_maps.preactivation(z, r, state.cell)
        f, g, o = linear_maps.activate_gates(a, 3, candidate=1)
        write = sigmoid(-linear_maps.split_gates(a, 3)[0])  # 1 - σ(f)
        cell = f * state.cell + write * g
        return LSTMState(o * tanh(cell), cell)

    return Cell(
        spec=CellSpec("lstm-coupled", hidden_size, hidden_size, dtype, param_dtype, (("forget_bias", forget_bias),)),
        init=linear_maps.initial_maps(CoupledLSTMParams, hidden_size, biases, recurrent_init, param_dtype),
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
