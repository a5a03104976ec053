"""The simple recurrent network and its linear special case."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.initializers import Initializer

ACTIVATIONS = {"identity": lambda a: a, "sigmoid": sigmoid, "tanh": tanh, "relu": jax.nn.relu}


@serialized
class ElmanParams(NamedTuple):
    """``w_x`` from the input, ``w_h`` from the hidden state, bias ``b`` (None: no bias)."""

    w_x: Float[Array, "D H"]
    w_h: Float[Array, "H H"]
    b: Float[Array, " H"] | None


@serialized
class ElmanState(NamedTuple):
    """The hidden state ``h``."""

    hidden: Float[Array, "*B H"]


@cell_factory
def elman(
    hidden_size: int,
    activation: str = "tanh",
    recurrent_init: str | Initializer = "orthogonal",
    bias: bool = True,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ElmanParams, ElmanState]:
    """The simple recurrent network (Elman 1990), ``h_t = φ(x_t W_x + h_{t-1} W_h + b)``.

    Args:
        hidden_size: H.
        activation: φ: "identity", "sigmoid", "tanh" or "relu".
        recurrent_init: of ``w_h``: "glorot", "orthogonal", "identity" (the IRNN, with "relu"), "spectral_radius", or a
            function ``(key, shape, dtype) -> array``.
        bias: whether there is a ``b``.
        dtype: of the products; ``param_dtype`` unless given.
        param_dtype: of parameters and state.

    Raises:
        UserError: for an unknown activation or initialiser, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    phi = ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]

    def no_bias(key: Key) -> dict[str, None]:
        del key
        return {} if bias else {"b": None}

    def initial_state(batch_shape: tuple[int, ...]) -> ElmanState:
        return ElmanState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def update(params: ElmanParams, state: ElmanState, z: Array, r: Array) -> ElmanState:
        del params
        return ElmanState(phi(linear_maps.preactivation(z, r, state.hidden)))

    return Cell(
        spec=CellSpec("elman", hidden_size, hidden_size, dtype, param_dtype, (("activation", activation),)),
        init=linear_maps.initial_maps(ElmanParams, hidden_size, (0.0,), recurrent_init, param_dtype, extra=no_bias),
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    )


def linear(
    hidden_size: int,
    recurrent_init: str | Initializer = "orthogonal",
    bias: bool = True,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ElmanParams, ElmanState]:
    """The linear recurrence, ``h_t = x_t W_x + h_{t-1} W_h + b``: an Elman cell whose activation is the identity."""
    return elman(hidden_size, "identity", recurrent_init, bias, dtype, param_dtype)
