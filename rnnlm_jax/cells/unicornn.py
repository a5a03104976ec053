"""The undamped independent controlled oscillatory network: a Hamiltonian system of oscillators that do not meet."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.errors import ArgumentError


@serialized
class UnICORNNParams(NamedTuple):
    """The input map ``w_x`` and its bias ``b``; and each unit's recurrent weight ``w`` and logit ``c`` of its step."""

    w_x: Float[Array, "D H"]
    b: Float[Array, " H"]
    w: Float[Array, " H"]
    c: Float[Array, " H"]


@serialized
class UnICORNNState(NamedTuple):
    """The position y of each oscillator, which is the hidden state, and its velocity z."""

    hidden: Float[Array, "*B H"]
    velocity: Float[Array, "*B H"]


@cell_factory
def unicornn(
    hidden_size: int,
    dt: float = 0.19,
    alpha: float = 30.65,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[UnICORNNParams, UnICORNNState]:
    """Return the undamped independent controlled oscillatory network, UnICORNN (Rusch & Mishra 2021).

    A symplectic Euler step of ``y'' = -σ̂(c) (tanh(w y + W x + b) + α y)`` and ``y' = σ̂(c) z``, with δ = Δt σ(c):

        z_t = z_{t-1} - δ (tanh(w ⊙ y_{t-1} + x_t W_x + b) + α y_{t-1}),    y_t = y_{t-1} + δ z_t.

    ``σ̂(c) = 1/2 + tanh(c/2)/2`` is the logistic function. A step is reversible and keeps volumes: its determinant is 1
    whatever the parameters, and no gradient can vanish in every direction.

    Initial values are those of the authors' code (tk-rusch/unicornn): w uniform in [0, 1), c in ±0.1, ``W_x`` in
    ``±√(6/(65 D))`` (Kaiming with slope 8), b at zero. Δt and α are chosen for each task; the defaults are those of
    permuted sequential MNIST. For reviews of IMDB the same code has ``alpha=0``, and ``dt`` 0.0066 and 0.205 in its two
    layers.

    Args:
        hidden_size: H.
        dt: Δt, the largest time step.
        alpha: α, the stiffness that bounds the states.
        dtype: dtype of the matrix product; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a ``dt`` that is not positive, an ``alpha`` below zero, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    if dt <= 0:
        raise ArgumentError(f"`dt` must be positive, not {dt}")
    if alpha < 0:
        raise ArgumentError(f"`alpha` must be at least 0, not {alpha}")

    def init(key: Key, input_size: int) -> UnICORNNParams:
        keys = jax.random.split(key, 3)
        limit = (6 / (65 * check_size("input_size", input_size))) ** 0.5
        return UnICORNNParams(
            w_x=jax.random.uniform(keys[0], (input_size, hidden_size), param_dtype, -limit, limit),
            b=jnp.zeros((hidden_size,), param_dtype),
            w=jax.random.uniform(keys[1], (hidden_size,), param_dtype),
            c=jax.random.uniform(keys[2], (hidden_size,), param_dtype, -0.1, 0.1),
        )

    def initial_state(batch_shape: tuple[int, ...]) -> UnICORNNState:
        shape = (*check_batch_shape(batch_shape), hidden_size)
        return UnICORNNState(jnp.zeros(shape, param_dtype), jnp.zeros(shape, param_dtype))

    def update(params: UnICORNNParams, state: UnICORNNState, z: Array, r: Array) -> UnICORNNState:
        del r
        y = state.hidden
        step = dt * sigmoid(over_batch(params.c, y))
        force = tanh(z.astype(param_dtype) + over_batch(params.w, y) * y) + alpha * y
        velocity = state.velocity - step * force
        return UnICORNNState(y + step * velocity, velocity)

    def log_slopes(params: UnICORNNParams, before: UnICORNNState, after: UnICORNNState, z: Array, r: Array) -> Array:
        del params, before, z, r
        return jnp.zeros_like(after.hidden)

    return Cell(
        spec=CellSpec("unicornn", hidden_size, hidden_size, dtype, param_dtype, (("dt", dt), ("alpha", alpha))),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.no_recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            jacobian=JacobianStructure.BLOCK,
            log_determinant=LogDeterminant(log_slopes),
            recurrent_matrices=(),
        )
    )
