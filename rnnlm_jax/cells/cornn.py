"""The coupled oscillatory recurrent network: each unit is a damped, driven oscillator."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_positive, check_size
from rnnlm_jax.cells.cell_facts import CellFacts


@serialized
class CoRNNParams(NamedTuple):
    """The map of the input, that of the state (rows of the hidden part, then of the velocity), and the bias."""

    w_x: Float[Array, "D H"]
    w_h: Float[Array, "2*H H"]
    b: Float[Array, " H"]


@serialized
class CoRNNState(NamedTuple):
    """The hidden state h, positions of oscillators, and their velocities v."""

    hidden: Float[Array, "*B H"]
    velocity: Float[Array, "*B H"]


@cell_factory
def cornn(
    hidden_size: int,
    dt: float = 0.054,
    gamma: float = 4.9,
    epsilon: float = 4.8,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[CoRNNParams, CoRNNState]:
    """Return the coupled oscillatory recurrent network, coRNN (Rusch & Mishra 2021, eq. 3).

    With ``W_h`` the rows of ``w_h`` that the hidden state h meets and ``W_v`` those of the velocity v,

        v_t = v_{t-1} + Δt (tanh(x_t W_x + h_{t-1} W_h + v_{t-1} W_v + b) - γ h_{t-1} - ε v_{t-1}),
        h_t = h_{t-1} + Δt v_t:

    v explicitly, then h with the new v. The paper also allows ``ε v_t`` in place of ``ε v_{t-1}``; its authors' code
    (tk-rusch/coRNN) has ``v_{t-1}``. If ``Δt ε ≤ 1`` and ``Δt γ < ε``, the energy is bounded from h = v = 0 on:
    ``γ |h_t|² + |v_t|² ≤ t Δt H / (ε - γ Δt)``.

    Initial weights and biases are uniform in ±1/√(D + 2H), as in the authors' code.

    Args:
        hidden_size: H.
        dt: Δt, the step of time. Defaults of dt, γ and ε are those of the authors' code for text (IMDB).
        gamma: γ, the squared frequency of an oscillator alone.
        epsilon: ε, its damping.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if a size, Δt, γ or ε is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    for name, value in (("dt", dt), ("gamma", gamma), ("epsilon", epsilon)):
        check_positive(name, value)

    def init(key: Key, input_size: int) -> CoRNNParams:
        check_size("input_size", input_size)
        keys = jax.random.split(key, 3)
        limit = (input_size + 2 * hidden_size) ** -0.5
        shapes = ((input_size, hidden_size), (2 * hidden_size, hidden_size), (hidden_size,))
        return CoRNNParams(*(initializers.uniform(k, s, param_dtype, limit) for k, s in zip(keys, shapes, strict=True)))

    def initial_state(batch_shape: tuple[int, ...]) -> CoRNNState:
        shape = (*check_batch_shape(batch_shape), hidden_size)
        return CoRNNState(jnp.zeros(shape, param_dtype), jnp.zeros(shape, param_dtype))  # two buffers, to be donated

    def recurrent_projection(params: CoRNNParams, state: CoRNNState) -> Array:
        return linear_maps.product(jnp.concatenate(state, axis=-1), params.w_h, dtype)

    def update(params: CoRNNParams, state: CoRNNState, z: Array, r: Array) -> CoRNNState:
        del params
        force = tanh(linear_maps.preactivation(z, r, state.hidden))
        velocity = state.velocity + dt * (force - gamma * state.hidden - epsilon * state.velocity)
        return CoRNNState(state.hidden + dt * velocity, velocity)

    variant = (("dt", dt), ("gamma", gamma), ("epsilon", epsilon))
    return Cell(
        spec=CellSpec("cornn", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=recurrent_projection,
        update=update,
        additive=True,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",)))
