"""The minimal LSTM, whose gates and candidate depend on the input only."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float
from rnnlm_jax.arrays.activations import interpolate, log_sigmoid, sigmoid
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.mingru import CANDIDATES


@serialized
class MinLSTMParams(NamedTuple):
    """The input map and its bias, gates on the last axis in the order f, i, n."""

    w_x: Float[Array, "D 3*H"]
    b: Float[Array, " 3*H"]


@serialized
class MinLSTMState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


def log_ratio(f: Array, i: Array) -> Array:
    """Return ``ln σ(f) - ln σ(i)``, of which the sigmoid is ``σ(f) / (σ(f) + σ(i))``."""
    return log_sigmoid(f) - log_sigmoid(i)


@cell_factory
def minlstm(
    hidden_size: int,
    candidate: str = "identity",
    forget_bias: float = 0.0,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[MinLSTMParams, MinLSTMState]:
    """Return the minimal LSTM, minLSTM, with normalised gates (Feng et al. 2024, section 3.2).

    With ``f, i, n`` the three blocks of ``x_t W_x + b``,

        h_t = f' h_{t-1} + i' g(n),    f' = σ(f) / (σ(f) + σ(i)),    i' = σ(i) / (σ(f) + σ(i)):

    linear in the state, and each unit by itself. The shares are computed as ``σ(±d)`` with ``d = ln σ(f) - ln σ(i)``,
    so that they sum to 1 and exist where both gates are shut.

    Args:
        hidden_size: H.
        candidate: g: "identity", or "positive" (appendix B.2.2: ``n + 1/2`` from 0 on, ``σ(n)`` below).
        forget_bias: initial value of the forget gate's block of ``b``; nothing is added to it later.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown candidate, a bias that is not a number, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    g = CANDIDATES[check_choice("candidate", candidate, CANDIDATES)]

    def initial_state(batch_shape: tuple[int, ...]) -> MinLSTMState:
        return MinLSTMState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def update(params: MinLSTMParams, state: MinLSTMState, z: Array, r: Array) -> MinLSTMState:
        del params, r
        f, i, n = linear_maps.split_gates(z.astype(param_dtype), 3)
        d = log_ratio(f, i)
        return MinLSTMState(interpolate(sigmoid(d), sigmoid(-d), state.hidden, g(n)))

    def log_slopes(params: MinLSTMParams, before: MinLSTMState, after: MinLSTMState, z: Array, r: Array) -> Array:
        del params, before, after, r
        f, i, _ = linear_maps.split_gates(z.astype(param_dtype), 3)
        return log_sigmoid(log_ratio(f, i))

    variant = (("candidate", candidate), ("forget_bias", forget_bias))
    return Cell(
        spec=CellSpec("minlstm", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=linear_maps.initial_maps(MinLSTMParams, hidden_size, (forget_bias, 0.0, 0.0), None, param_dtype),
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
