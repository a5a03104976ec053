"""The LSTM whose gates read the cell state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.lstm import LSTMState, log_output_slopes, zero_state


@serialized
class PeepholeLSTMParams(NamedTuple):
    """Two linear maps and a bias, gates in the order i, f, g, o; and one peephole weight a unit for i, f and o."""

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H 4*H"]
    b: Float[Array, " 4*H"]
    peep_i: Float[Array, " H"]
    peep_f: Float[Array, " H"]
    peep_o: Float[Array, " H"]


def log_slopes(params: PeepholeLSTMParams, before: LSTMState, after: LSTMState, z: Array, r: Array) -> Array:
    """Return ``ln|∂c_t/∂c_{t-1}| + ln|tanh(c_t) σ'(o)|``.

    ``∂c_t/∂c_{t-1} = f + p_f c f(1 - f) + p_i tanh(g) i(1 - i)``; the larger gate is factored out of the sum.
    """
    i, f, g, o = linear_maps.split_gates(linear_maps.preactivation(z, r, before.cell), 4)
    p_i, p_f, p_o = (over_batch(p, before.cell) for p in (params.peep_i, params.peep_f, params.peep_o))
    i, f = i + p_i * before.cell, f + p_f * before.cell
    larger = jnp.maximum(log_sigmoid(f), log_sigmoid(i))
    kept = jnp.exp(log_sigmoid(f) - larger) * (1 + p_f * before.cell * sigmoid(-f))
    written = jnp.exp(log_sigmoid(i) - larger) * p_i * jnp.tanh(g) * sigmoid(-i)
    return larger + jnp.log(jnp.abs(kept + written)) + log_output_slopes(after, o + p_o * after.cell)


@cell_factory
def peephole_lstm(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[PeepholeLSTMParams, LSTMState]:
    """Return the LSTM with peephole connections (Gers, Schraudolph & Schmidhuber 2002; as in Graves 2013, eqs. 7-11).

    With ``i, f, g, o`` the four blocks of ``x_t W_x + h_{t-1} W_h + b`` and diagonal peephole weights p,

        c_t = σ(f + p_f c_{t-1}) c_{t-1} + σ(i + p_i c_{t-1}) tanh(g),    h_t = σ(o + p_o c_t) tanh(c_t).

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
    biases = (0.0, forget_bias, 0.0, 0.0)

    def peepholes(key: Key) -> dict[str, Array]:
        limit = hidden_size**-0.5
        draws = jax.random.uniform(key, (3, hidden_size), param_dtype, -limit, limit)
        return {"peep_i": draws[0], "peep_f": draws[1], "peep_o": draws[2]}

    def update(params: PeepholeLSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        i, f, g, o = linear_maps.split_gates(linear_maps.preactivation(z, r, state.cell), 4)
        p_i, p_f, p_o = (over_batch(p, state.cell) for p in (params.peep_i, params.peep_f, params.peep_o))
        keep = sigmoid(f + p_f * state.cell)
        write = sigmoid(i + p_i * state.cell)
        cell = keep * state.cell + write * tanh(g)
        return LSTMState(sigmoid(o + p_o * cell) * tanh(cell), cell)

    return Cell(
        spec=CellSpec("lstm-peephole", hidden_size, hidden_size, dtype, param_dtype, (("forget_bias", forget_bias),)),
        init=linear_maps.initial_maps(
            PeepholeLSTMParams, hidden_size, biases, recurrent_init, param_dtype, extra=peepholes
        ),
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
