"""The minimal gated recurrent unit, whose gate and candidate depend on the input only."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import interpolate, sigmoid
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant


@serialized
class MinGRUParams(NamedTuple):
    """The input map and its bias, gates on the last axis in the order u, n."""

    w_x: Float[Array, "D 2*H"]
    b: Float[Array, " 2*H"]


@serialized
class MinGRUState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


def positive(a: Array) -> Array:
    """Return ``a + 1/2`` where ``a ≥ 0`` and ``σ(a)`` elsewhere, which is positive and continuous."""
    return jnp.where(a >= 0, a + 0.5, sigmoid(a))


CANDIDATES = {"identity": lambda a: a, "positive": positive}


@cell_factory
def mingru(
    hidden_size: int,
    candidate: str = "identity",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[MinGRUParams, MinGRUState]:
    """Return the minimal gated recurrent unit, minGRU (Feng et al. 2024, section 3.1).

    With ``u, n`` the two blocks of ``x_t W_x + b``,

        h_t = (1 - σ(u)) h_{t-1} + σ(u) g(n):

    linear in the state, and each unit by itself.

    Args:
        hidden_size: H.
        candidate: g: "identity", or "positive" (appendix B.2.1: ``a + 1/2`` from 0 on, ``σ(a)`` below).
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown candidate, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    g = CANDIDATES[check_choice("candidate", candidate, CANDIDATES)]

    def initial_state(batch_shape: tuple[int, ...]) -> MinGRUState:
        return MinGRUState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def update(params: MinGRUParams, state: MinGRUState, z: Array, r: Array) -> MinGRUState:
        del params, r
        u, n = linear_maps.split_gates(z.astype(param_dtype), 2)
        return MinGRUState(interpolate(sigmoid(-u), sigmoid(u), state.hidden, g(n)))

    def log_slopes(params: MinGRUParams, before: MinGRUState, after: MinGRUState, z: Array, r: Array) -> Array:
        del params, before, after, r
        return log_sigmoid(-linear_maps.split_gates(z.astype(param_dtype), 2)[0])

    return Cell(
        spec=CellSpec("mingru", hidden_size, hidden_size, dtype, param_dtype, (("candidate", candidate),)),
        init=linear_maps.initial_maps(MinGRUParams, hidden_size, (0.0, 0.0), None, param_dtype),
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        recurrent_projection=linear_maps.no_recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(
        CellFacts(
            is_linear=True,
            jacobian=JacobianStructure.DIAGONAL,
            log_determinant=LogDeterminant(log_slopes),
            recurrent_matrices=(),
        )
    )
