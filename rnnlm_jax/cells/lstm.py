"""The long short-term memory with a forget gate: the one that people mean by "LSTM"."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, StateFn, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.initializers import Initializer


@serialized
class LSTMParams(NamedTuple):
    """Two linear maps and a bias; gates on the last axis in the order i, f, g, o."""

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H 4*H"]
    b: Float[Array, " 4*H"]


@serialized
class LSTMState(NamedTuple):
    """What the cell shows (``hidden``) and what it keeps (``cell``, the constant error carousel)."""

    hidden: Float[Array, "*B H"]
    cell: Float[Array, "*B H"]


def zero_state(hidden_size: int, dtype: Any) -> StateFn[LSTMState]:
    """``initial_state`` of every LSTM: nothing shown, nothing kept."""

    def initial_state(batch_shape: tuple[int, ...]) -> LSTMState:
        shape = (*check_batch_shape(batch_shape), hidden_size)
        return LSTMState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))  # two buffers, so that both can be donated

    return initial_state


@cell_factory
def lstm(
    hidden_size: int,
    forget_bias: float = 1.0,
    recurrent_init: str | Initializer = "orthogonal",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[LSTMParams, LSTMState]:
    """The LSTM with a forget gate (Gers, Schmidhuber & Cummins 2000).

    With ``i, f, g, o`` the four blocks of ``x_t W_x + h_{t-1} W_h + b``,

        c_t = σ(f) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t).

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
    biases = (0.0, forget_bias, 0.0, 0.0)

    def update(params: LSTMParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del params
        i, f, g, o = linear_maps.squash(linear_maps.preactivation(z, r, state.cell), 4, candidate=2)
        cell = f * state.cell + i * g
        return LSTMState(o * tanh(cell), cell)

    return Cell(
        spec=CellSpec("lstm", hidden_size, hidden_size, dtype, param_dtype, (("forget_bias", forget_bias),)),
        init=linear_maps.initial_maps(LSTMParams, hidden_size, biases, recurrent_init, param_dtype),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    )
