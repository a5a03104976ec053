"""The layer-normalised LSTM."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.cells.lstm import LSTMState, zero_state

#: Added to the variance before the square root.
EPSILON = 1e-5


@serialized
class LayerNormLSTMParams(NamedTuple):
    """Two linear maps, gates in the order i, f, g, o; gains of three normalisations; biases of gates and cell."""

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H 4*H"]
    b: Float[Array, " 4*H"]
    gain_x: Float[Array, " 4*H"]
    gain_h: Float[Array, " 4*H"]
    gain_c: Float[Array, " H"]
    b_c: Float[Array, " H"]


def layer_norm(a: Array, gain: Array) -> Array:
    """Return ``gain · (a - mean(a)) / √(var(a) + ε)`` over the last axis (Ba, Kiros & Hinton 2016, eq. 3)."""
    centred = a - a.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return over_batch(gain, a) * centred * jax.lax.rsqrt(variance + EPSILON)


@cell_factory
def layer_norm_lstm(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[LayerNormLSTMParams, LSTMState]:
    """Return the layer-normalised LSTM (Ba, Kiros & Hinton 2016, supplement, eqs. 20-22).

    With ``i, f, g, o`` the four blocks of ``LN(x_t W_x) + LN(h_{t-1} W_h) + b``, each LN over all 4H of them,

        c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(LN(c_t) + b_c).

    Normalisation couples the units, so the step does not split. The two additive terms of the paper's gate
    normalisations only occur as their sum, here ``b``.

    Args:
        hidden_size: H.
        forget_bias: initial value of the forget gate's block of ``b``; nothing is added to it later.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters, normalisations and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    biases = (0.0, forget_bias, 0.0, 0.0)

    def gains(key: Key) -> dict[str, Array]:
        del key
        return {
            "gain_x": jnp.ones((4 * hidden_size,), param_dtype),  # a buffer each, so that all can be donated
            "gain_h": jnp.ones((4 * hidden_size,), param_dtype),
            "gain_c": jnp.ones((hidden_size,), param_dtype),
            "b_c": jnp.zeros((hidden_size,), param_dtype),
        }

    def input_projection(params: LayerNormLSTMParams, x: Array) -> Array:
        z = linear_maps.product(x, params.w_x, dtype).astype(param_dtype)
        return layer_norm(z, params.gain_x) + over_batch(params.b, z)

    def whole_step(params: LayerNormLSTMParams, state: LSTMState, z: Array) -> LSTMState:
        r = linear_maps.product(state.hidden, params.w_h, dtype).astype(param_dtype)
        i, f, g, o = linear_maps.activate_gates(z + layer_norm(r, params.gain_h), 4, candidate=2)
        cell = f * state.cell + i * g
        b_c = over_batch(params.b_c, cell)
        return LSTMState(o * tanh(layer_norm(cell, params.gain_c) + b_c), cell)

    return Cell(
        spec=CellSpec("lstm-layer-norm", hidden_size, hidden_size, dtype, param_dtype, (("forget_bias", forget_bias),)),
        init=linear_maps.initial_maps(
            LayerNormLSTMParams, hidden_size, biases, recurrent_init, param_dtype, extra=gains
        ),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection,
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",), read_by_products=("hidden",)))
