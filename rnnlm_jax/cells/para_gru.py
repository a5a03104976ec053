"""The gated recurrent unit whose recurrent matrices are diagonal, so that it runs in parallel over time."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.log_slopes import log_abs_slope
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant


@serialized
class ParaGRUParams(NamedTuple):
    """The input map and its bias, gates in the order r, u, n; and the diagonal of each gate's recurrent matrix."""

    w_x: Float[Array, "D 3*H"]
    b: Float[Array, " 3*H"]
    diag_r: Float[Array, " H"]
    diag_u: Float[Array, " H"]
    diag_n: Float[Array, " H"]


@serialized
class ParaGRUState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


def initial_diagonals(key: Key, names: tuple[str, ...], hidden_size: int, dtype: Any) -> dict[str, Array]:
    """Draw diagonals by field from ``N(0, 4 / (5 H))``, as the authors' code does."""
    draws = (4 / (5 * hidden_size)) ** 0.5 * jax.random.normal(key, (len(names), hidden_size), dtype)
    return dict(zip(names, draws, strict=True))


def spread_gate_biases(hidden_size: int, dtype: Any) -> Array:
    """Return the initial bias of the gate that keeps or replaces the state: from 0 down to -1, evenly over units."""
    return -jnp.linspace(0, 1, hidden_size, dtype=dtype)


@cell_factory
def para_gru(
    hidden_size: int,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[ParaGRUParams, ParaGRUState]:
    """Return the GRU with diagonal recurrent matrices, ParaGRU (Danieli et al. 2025, arXiv:2510.21450).

    With ``r, u, n`` the three blocks of ``x_t W_x + b`` and diagonals d,

        h_t = (1 - σ(u + d_u h_{t-1})) h_{t-1} + σ(u + d_u h_{t-1}) tanh(n + d_n σ(r + d_r h_{t-1}) h_{t-1}):

    each unit reads its own state only, and Newton's method over time needs no matrix. The gate u weighs the candidate,
    unlike that of ``gru``. The input map is dense; the authors' code can also divide it into heads.

    Initial values are those of the authors' code (apple/ml-pararnn): ``d ~ N(0, 4/(5H))``, ``W_x`` by Glorot, ``b``
    zero but for the gate u, whose biases go from 0 to -1 evenly over the units.

    Args:
        hidden_size: H.
        dtype: dtype of the matrix product; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def recurrence(key: Key) -> dict[str, Array]:
        zeros = jnp.zeros((hidden_size,), param_dtype)
        b = jnp.concatenate([zeros, spread_gate_biases(hidden_size, param_dtype), zeros])
        return {"b": b, **initial_diagonals(key, ("diag_r", "diag_u", "diag_n"), hidden_size, param_dtype)}

    def initial_state(batch_shape: tuple[int, ...]) -> ParaGRUState:
        return ParaGRUState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def next_hidden(params: ParaGRUParams, h: Array, z: Array) -> Array:
        r, u, n = linear_maps.split_gates(z.astype(param_dtype), 3)
        d_r, d_u, d_n = (over_batch(d, h) for d in (params.diag_r, params.diag_u, params.diag_n))
        u = u + d_u * h
        candidate = tanh(n + d_n * (sigmoid(r + d_r * h) * h))
        return interpolate(sigmoid(-u), sigmoid(u), h, candidate)

    def update(params: ParaGRUParams, state: ParaGRUState, z: Array, r: Array) -> ParaGRUState:
        del r
        return ParaGRUState(next_hidden(params, state.hidden, z))

    def log_slopes(params: ParaGRUParams, before: ParaGRUState, after: ParaGRUState, z: Array, r: Array) -> Array:
        del after, r
        return log_abs_slope(lambda h: next_hidden(params, h, z), before.hidden)

    return Cell(
        spec=CellSpec("para-gru", hidden_size, hidden_size, dtype, param_dtype),
        init=linear_maps.initial_maps(ParaGRUParams, hidden_size, (0.0, 0.0, 0.0), None, param_dtype, extra=recurrence),
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
