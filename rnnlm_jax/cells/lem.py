"""Long expressive memory: two states, each with a learned step of time of its own."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_positive, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.errors import ArgumentError


@serialized
class LEMParams(NamedTuple):
    """Linear maps and bias; gates in the order u, s, m, n: step of the memory, step of h, and the two candidates.

    ``w_h`` maps the hidden state to u, s, m; ``w_m`` the new memory to n.
    """

    w_x: Float[Array, "D 4*H"]
    w_h: Float[Array, "H 3*H"]
    w_m: Float[Array, "H H"]
    b: Float[Array, " 4*H"]


@serialized
class LEMState(NamedTuple):
    """The hidden state h (the paper's y) and the memory m (its z)."""

    hidden: Float[Array, "*B H"]
    memory: Float[Array, "*B H"]


@cell_factory
def lem(
    hidden_size: int,
    dt: float = 1.0,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[LEMParams, LEMState]:
    """Return the long expressive memory, LEM (Rusch, Mishra, Erichson & Mahoney 2022, eq. 3).

    With ``u, s, m, n`` the four blocks of ``x_t W_x + b`` and ``U_u, U_s, U_m`` the three of ``W_h``,

        δ = Δt σ(u + h_{t-1} U_u),    δ' = Δt σ(s + h_{t-1} U_s),
        m_t = (1 - δ) m_{t-1} + δ tanh(m + h_{t-1} U_m),
        h_t = (1 - δ') h_{t-1} + δ' tanh(n + m_t W_m).

    h reads the new memory, so that the cell does not split. With Δt of at most 1 both states stay in [-1, 1].

    Initial weights and biases are uniform in ±1/√H, as in the authors' code (tk-rusch/LEM, its compiled version, which
    has one bias a gate).

    Args:
        hidden_size: H.
        dt: Δt, the largest step of time, at most 1.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if a size is not positive, or Δt not above 0 and at most 1.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    check_positive("dt", dt)
    if dt > 1:
        raise ArgumentError(f"`dt` must be at most 1, not {dt}: larger steps leave the states unbounded")

    def init(key: Key, input_size: int) -> LEMParams:
        check_size("input_size", input_size)
        keys = jax.random.split(key, 4)
        shapes = (
            (input_size, 4 * hidden_size),
            (hidden_size, 3 * hidden_size),
            (hidden_size, hidden_size),
            (4 * hidden_size,),
        )
        limit = hidden_size**-0.5
        return LEMParams(*(initializers.uniform(k, s, param_dtype, limit) for k, s in zip(keys, shapes, strict=True)))

    def initial_state(batch_shape: tuple[int, ...]) -> LEMState:
        shape = (*check_batch_shape(batch_shape), hidden_size)
        return LEMState(jnp.zeros(shape, param_dtype), jnp.zeros(shape, param_dtype))  # two buffers, to be donated

    def step_towards(a: Array, state: Array, target: Array) -> Array:
        """Return ``(1 - δ) state + δ target`` with ``δ = Δt σ(a)``."""
        rest = (1 - dt) + dt * sigmoid(-a)  # without cancellation
        return interpolate(dt * sigmoid(a), rest, target, state)

    def whole_step(params: LEMParams, state: LEMState, z: Array) -> LEMState:
        z_hidden, z_n = jnp.split(z, [3 * hidden_size], axis=-1)
        r = linear_maps.product(state.hidden, params.w_h, dtype)
        u, s, m = linear_maps.split_gates(linear_maps.preactivation(z_hidden, r, state.hidden), 3)
        memory = step_towards(u, state.memory, tanh(m))
        n = linear_maps.preactivation(z_n, linear_maps.product(memory, params.w_m, dtype), state.hidden)
        return LEMState(step_towards(s, state.hidden, tanh(n)), memory)

    return Cell(
        spec=CellSpec("lem", hidden_size, hidden_size, dtype, param_dtype, (("dt", dt),)),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h", "w_m")))
