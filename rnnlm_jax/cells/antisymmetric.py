"""The antisymmetric recurrent network: small steps along a field whose linear part rotates and damps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_positive, check_size
from rnnlm_jax.cells.cell_facts import CellFacts


@serialized
class AntisymmetricParams(NamedTuple):
    """Input map and bias, gates in the order u, n (n alone without a gate); and W, read strictly above its diagonal."""

    w_x: Float[Array, "D G*H"]
    w_h: Float[Array, "H H"]
    b: Float[Array, " G*H"]


class PreparedAntisymmetricParams(NamedTuple):
    """``AntisymmetricParams`` with the recurrent matrix ``W - Wᵀ - γ I`` in place of W."""

    w_x: Float[Array, "D G*H"]
    recurrent: Float[Array, "H H"]
    b: Float[Array, " G*H"]


@serialized
class AntisymmetricState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@cell_factory
def antisymmetric(
    hidden_size: int,
    epsilon: float = 0.1,
    gamma: float = 0.01,
    *,
    gated: bool = False,
    recurrent_scale: float = 1.0,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[AntisymmetricParams, AntisymmetricState]:
    """Return the antisymmetric recurrent network (Chang, Chen, Haber & Chi 2019, eq. 11; with a gate, eqs. 12-13).

    With ``n`` the last block of ``x_t V + b``, ``u`` the one before it, and ``M = W - Wᵀ - γ I``,

        h_t = h_{t-1} + ε tanh(n + h_{t-1} M),
        h_t = h_{t-1} + ε σ(u + h_{t-1} M) tanh(n + h_{t-1} M)    with ``gated=True``; both share M.

    All eigenvalues of M have the real part -γ. As in the paper, W is strictly upper triangular: ``w_h`` is read above
    its diagonal, and is zero elsewhere at first. Initial values are those of the paper: V from N(0, 1/D), W from
    N(0, σ²/H), biases 0. It searched ε in 0.01, 0.1, 1 and γ in 0.001, 0.01, 0.1.

    Args:
        hidden_size: H.
        epsilon: ε, the step size.
        gamma: γ, the strength of diffusion; the paper's forward Euler step is unstable without any.
        gated: whether a gate scales the step.
        recurrent_scale: σ of the initial W.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if ε or a size is not positive, or if γ or σ is negative.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    check_positive("epsilon", epsilon)
    check_positive("gamma", gamma, or_zero=True)
    check_positive("recurrent_scale", recurrent_scale, or_zero=True)
    gates = 2 if gated else 1

    def init(key: Key, input_size: int) -> AntisymmetricParams:
        check_size("input_size", input_size)
        input_key, recurrent_key = jax.random.split(key)
        w_x = jax.random.normal(input_key, (input_size, gates * hidden_size), param_dtype)
        w_h = jax.random.normal(recurrent_key, (hidden_size, hidden_size), param_dtype)
        return AntisymmetricParams(
            w_x=w_x * input_size**-0.5,
            w_h=jnp.triu(w_h, 1) * (recurrent_scale * hidden_size**-0.5),
            b=jnp.zeros((gates * hidden_size,), param_dtype),
        )

    def initial_state(batch_shape: tuple[int, ...]) -> AntisymmetricState:
        return AntisymmetricState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def prepare(params: AntisymmetricParams | PreparedAntisymmetricParams) -> PreparedAntisymmetricParams:
        if isinstance(params, PreparedAntisymmetricParams):
            return params
        upper = jnp.triu(params.w_h, 1)
        recurrent = upper - upper.T - gamma * jnp.eye(hidden_size, dtype=upper.dtype)
        return PreparedAntisymmetricParams(params.w_x, recurrent, params.b)

    def recurrent_projection(
        params: AntisymmetricParams | PreparedAntisymmetricParams, state: AntisymmetricState
    ) -> Array:
        return linear_maps.product(state.hidden, prepare(params).recurrent, dtype)

    def update(params: Any, state: AntisymmetricState, z: Array, r: Array) -> AntisymmetricState:
        del params
        *u, n = linear_maps.split_gates(z, gates)
        move = epsilon * tanh(linear_maps.preactivation(n, r, state.hidden))
        if gated:
            move = sigmoid(linear_maps.preactivation(u[0], r, state.hidden)) * move
        return AntisymmetricState(state.hidden + move)

    variant = (("epsilon", epsilon), ("gamma", gamma), ("gated", gated))
    return Cell(
        spec=CellSpec("antisymmetric", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=recurrent_projection,
        update=update,
        additive=not gated,
        readout=linear_maps.read_hidden,
        prepare_params=prepare,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",)))
