"""The multiplicative LSTM, whose recurrent matrix depends on the input."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.cells.lstm import LSTMState, zero_state


@serialized
class MultiplicativeLSTMParams(NamedTuple):
    """Maps from the input and from m to the gates i, f, g, o, with a bias; maps from the input and from h to m."""

    w_x: Float[Array, "D 4*H"]
    w_m: Float[Array, "H 4*H"]
    b: Float[Array, " 4*H"]
    w_mx: Float[Array, "D H"]
    w_mh: Float[Array, "H H"]


@cell_factory
def multiplicative_lstm(
    hidden_size: int,
    forget_bias: float = 3.0,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[MultiplicativeLSTMParams, LSTMState]:
    """Return the multiplicative LSTM (Krause, Murray, Renals & Lu 2016, section 3; also called mLSTM).

    With ``m = (x_t W_mx) (h_{t-1} W_mh)``, elementwise, and ``i, f, g, o`` the four blocks of ``x_t W_x + m W_m + b``,

        c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t):

    an LSTM that reads m in place of h, so that each input has its own recurrent matrix ``W_mh diag(x_t W_mx) W_m``. The
    product of x and h couples units, so that the cell does not split. Gates and output are those of the authors' code
    for words and bytes and of Radford et al. 2017. The authors' first code has ``h_t = tanh(σ(o) c_t)`` and a linear
    candidate g instead. Their weight normalisation is left out.

    Each matrix starts orthogonal as a whole, as in the authors' code: its rows are orthonormal, or its columns if there
    are fewer of them.

    Args:
        hidden_size: H.
        forget_bias: initial value of the forget gate's block of ``b``, 3 in the authors' code.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def init(key: Key, input_size: int) -> MultiplicativeLSTMParams:
        check_size("input_size", input_size)
        keys = jax.random.split(key, 4)
        shapes = [(rows, columns) for columns in (4 * hidden_size, hidden_size) for rows in (input_size, hidden_size)]
        w_x, w_m, w_mx, w_mh = (
            initializers.orthogonal(k, shape, param_dtype) for k, shape in zip(keys, shapes, strict=True)
        )
        b = jnp.repeat(jnp.asarray([0.0, forget_bias, 0.0, 0.0], param_dtype), hidden_size)
        return MultiplicativeLSTMParams(w_x, w_m, b, w_mx, w_mh)

    to_gates = linear_maps.input_projection(dtype)

    def input_projection(params: MultiplicativeLSTMParams, x: Array) -> Array:
        return jnp.concatenate([to_gates(params, x), linear_maps.product(x, params.w_mx, dtype)], axis=-1)

    def whole_step(params: MultiplicativeLSTMParams, state: LSTMState, z: Array) -> LSTMState:
        z_gates, z_m = jnp.split(z.astype(param_dtype), [4 * hidden_size], axis=-1)
        m = z_m * linear_maps.product(state.hidden, params.w_mh, dtype).astype(param_dtype)
        a = linear_maps.preactivation(z_gates, linear_maps.product(m, params.w_m, dtype), state.cell)
        i, f, g, o = linear_maps.activate_gates(a, 4, candidate=2)
        cell = f * state.cell + i * g
        return LSTMState(o * tanh(cell), cell)

    variant = (("forget_bias", forget_bias),)
    return Cell(
        spec=CellSpec("multiplicative-lstm", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection,
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_m", "w_mh"), read_by_products=("hidden",)))
