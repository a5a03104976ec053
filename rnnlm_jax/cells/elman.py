"""The simple recurrent network and its linear special case."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.log_slopes import log_relu_slope, log_sigmoid_slope, log_tanh_slope
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, Kernel, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.kernels import elman as elman_kernel


class Activation(NamedTuple):
    """An activation φ, ``ln|φ'(a)|``, and the largest ``|φ'|``."""

    function: Callable[[Array], Array]
    log_slope: Callable[[Array], Array]
    largest_slope: float


ACTIVATIONS = {
    "identity": Activation(lambda a: a, jnp.zeros_like, 1.0),
    "sigmoid": Activation(sigmoid, log_sigmoid_slope, 0.25),
    "tanh": Activation(tanh, log_tanh_slope, 1.0),
    "relu": Activation(jax.nn.relu, log_relu_slope, 1.0),
}


@serialized
class ElmanParams(NamedTuple):
    """``w_x`` from the input, ``w_h`` from the hidden state, bias ``b`` (None: no bias)."""

    w_x: Float[Array, "D H"]
    w_h: Float[Array, "H H"]
    b: Float[Array, " H"] | None


@serialized
class ElmanState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@cell_factory
def elman(
    hidden_size: int,
    activation: str = "tanh",
    recurrent_init: str | Initializer = "orthogonal",
    *,
    bias: bool = True,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ElmanParams, ElmanState]:
    """Return the simple recurrent network (Elman 1990), ``h_t = φ(x_t W_x + h_{t-1} W_h + b)``.

    Args:
        hidden_size: H.
        activation: φ: "identity", "sigmoid", "tanh" or "relu".
        recurrent_init: initialiser of ``w_h``: "glorot", "orthogonal", "identity" (the IRNN, with "relu"),
            "spectral_radius", or a function ``(key, shape, dtype) -> array``.
        bias: whether there is a bias ``b``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown activation or initialiser, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    phi = ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
    input_projection = linear_maps.input_projection(dtype)

    def no_bias(key: Key) -> dict[str, None]:
        del key
        return {} if bias else {"b": None}

    def initial_state(batch_shape: tuple[int, ...]) -> ElmanState:
        return ElmanState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def update(params: ElmanParams, state: ElmanState, z: Array, r: Array) -> ElmanState:
        del params
        return ElmanState(phi.function(linear_maps.preactivation(z, r, state.hidden)))

    def run_kernel(
        params: ElmanParams, state: ElmanState, xs: Array, step_mask: Array, keep_state: Array, *, reverse: bool
    ) -> tuple[ElmanState, ElmanState]:
        zs, b = linear_maps.without_bias(input_projection, params, xs)
        hs, hidden = elman_kernel.elman(
            zs, params.w_h, b, state.hidden, step_mask, keep_state, reverse=reverse, activation=activation
        )
        return ElmanState(hidden), ElmanState(hs)

    def log_slopes(params: ElmanParams, before: ElmanState, after: ElmanState, z: Array, r: Array) -> Array:
        del params, after
        return phi.log_slope(linear_maps.preactivation(z, r, before.hidden))

    return Cell(
        spec=CellSpec("elman", hidden_size, hidden_size, dtype, param_dtype, (("activation", activation),)),
        init=linear_maps.initial_maps(ElmanParams, hidden_size, (0.0,), recurrent_init, param_dtype, extra=no_bias),
        initial_state=initial_state,
        input_projection=input_projection,
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            is_linear=activation == "identity",
            kernel=Kernel(ElmanParams, run_kernel),
            log_determinant=LogDeterminant(log_slopes, linear_maps.last_block(hidden_size, dtype)),
            largest_slope=phi.largest_slope,
            recurrent_matrices=("w_h",),
        )
    )


def linear(
    hidden_size: int,
    recurrent_init: str | Initializer = "orthogonal",
    *,
    bias: bool = True,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ElmanParams, ElmanState]:
    """Return the linear recurrence ``h_t = x_t W_x + h_{t-1} W_h + b``: an Elman cell whose φ is the identity."""
    return elman(hidden_size, "identity", recurrent_init, bias=bias, dtype=dtype, param_dtype=param_dtype)
