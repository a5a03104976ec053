"""The LSTM whose input gate is what its forget gate leaves."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.initializers import Initializer
from rnnlm_jax.cells.lstm import LSTMState, zero_state


@serialized
class CoupledLSTMParams(NamedTuple):
    """Two linear maps and a bias; gates on the last axis in the order f, g, o."""

    w_x: Float[Array, "D 3*H"]
    w_h: Float[Array, "H 3*H"]
    b: Float[Array, " 3*H"]


@cell_factory
def coupled_lstm(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "orthogonal",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[CoupledLSTMParams, LSTMState]:
    """The LSTM with coupled input and forget gates (Greff et al. 2017, section 3: CIFG).

    With ``f, g, o`` the three blocks of ``x_t W_x + h_{t-1} W_h + b``,

        c_t = σ(f) c_{t-1} + (1 - σ(f)) tanh(g),    h_t = σ(o) tanh(c_t):

    the content is a running average, so ``|c|`` never exceeds 1.

    Args:
        hidden_size: H.
        forget_bias: initial value of the forget gate's part of ``b``; nothing is added to it later.
        recurrent_init: of each gate's block of ``w_h``, see ``elman``.
        dtype: of the products; ``param_dtype`` unless given.
        param_dtype: of parameters and state.

    Raises:
        UserError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    biases = (forget_bias, 0.0, 0.0)

    def update(params: CoupledLSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del params
        a = linear_maps.preactivation(z, r, state.cell)
        f, g, o = linear_maps.squash(a, 3, candidate=1)
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
    )
