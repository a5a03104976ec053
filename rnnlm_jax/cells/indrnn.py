"""The independently recurrent network, whose units read their own state only."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import (
    Cell,
    CellSpec,
    cell_factory,
    check_batch_shape,
    check_choice,
    check_number,
    check_size,
)
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.elman import ACTIVATIONS
from rnnlm_jax.errors import ArgumentError


@serialized
class IndRNNParams(NamedTuple):
    """The input map ``w_x`` and its bias ``b``, and one recurrent weight a unit, ``u``."""

    w_x: Float[Array, "D H"]
    b: Float[Array, " H"]
    u: Float[Array, " H"]


@serialized
class IndRNNState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@cell_factory
def indrnn(
    hidden_size: int,
    activation: str = "relu",
    *,
    min_weight: float = 0.0,
    max_weight: float | None = None,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[IndRNNParams, IndRNNState]:
    """Return the independently recurrent network, IndRNN (Li et al. 2018, eq. 2).

        h_t = φ(x_t W_x + u ⊙ h_{t-1} + b)

    A gradient over T steps is multiplied by at most ``|u|^T``. The paper (section 3.1) therefore keeps ``|u|`` below
    ``γ^{1/T}`` for sequences of T steps, with γ = 2 for the adding problem: ``max_weight=2 ** (1 / T)``. For units with
    long memory it draws u from ``ε^{1/T}`` on: ``min_weight``. The authors clip u after every update; here it is
    clipped where the step reads it, so that u is bounded under every optimiser, and a weight beyond the bound has
    gradient zero.

    u starts uniform in [``min_weight``, ``max_weight``), up to 1 without a bound, as in the authors' code; ``w_x`` by
    Glorot, since their initialisation of it belongs to batch-normalised layers.

    Args:
        hidden_size: H.
        activation: φ: "relu" or "tanh".
        min_weight: lower end of the initial u.
        max_weight: bound on ``|u|``; None: no bound.
        dtype: dtype of the matrix product; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for another activation, a bound that is not positive, a ``min_weight`` that is negative or not
            below the bound, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    phi = ACTIVATIONS[check_choice("activation", activation, ("relu", "tanh"))]
    if max_weight is not None:
        check_number("max_weight", max_weight)
        if max_weight <= 0:
            raise ArgumentError(f"`max_weight` must be positive, or None for no bound, not {max_weight}")
    upper = 1.0 if max_weight is None else max_weight
    if not 0 <= min_weight < upper:
        raise ArgumentError(
            f"`min_weight` must be at least 0 and below {upper}, the largest initial weight, not {min_weight}"
        )

    def draw_weights(key: Key) -> dict[str, Array]:
        return {"u": jax.random.uniform(key, (hidden_size,), param_dtype, min_weight, upper)}

    def initial_state(batch_shape: tuple[int, ...]) -> IndRNNState:
        return IndRNNState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def weights(params: IndRNNParams, like: Array) -> Array:
        u = params.u if max_weight is None else jnp.clip(params.u, -max_weight, max_weight)
        return over_batch(u, like)

    def preactivation(params: IndRNNParams, state: IndRNNState, z: Array) -> Array:
        return z.astype(param_dtype) + weights(params, state.hidden) * state.hidden

    def update(params: IndRNNParams, state: IndRNNState, z: Array, r: Array) -> IndRNNState:
        del r
        return IndRNNState(phi.function(preactivation(params, state, z)))

    def log_slopes(params: IndRNNParams, before: IndRNNState, after: IndRNNState, z: Array, r: Array) -> Array:
        del after, r
        u = weights(params, before.hidden)
        return phi.log_slope(preactivation(params, before, z)) + jnp.log(jnp.abs(u))

    variant = (("activation", activation), ("min_weight", min_weight), ("max_weight", max_weight))
    return Cell(
        spec=CellSpec("indrnn", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=linear_maps.initial_maps(IndRNNParams, hidden_size, (0.0,), None, param_dtype, extra=draw_weights),
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.no_recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            jacobian=JacobianStructure.DIAGONAL,
            log_determinant=LogDeterminant(log_slopes),
            recurrent_matrices=(),
        )
    )
