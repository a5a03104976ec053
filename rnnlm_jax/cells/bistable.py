"""The bistable recurrent cells, whose units can hold one of two values for ever."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.log_slopes import log_abs_slope
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.cell_functions import Initializer, InputProjectionFn, StateFn


@serialized
class BRCParams(NamedTuple):
    """The input map, gates in the order r, u, n; biases of r and u; and the weight of h in each gate, one a unit."""

    w_x: Float[Array, "D 3*H"]
    b: Float[Array, " 2*H"]
    diag_r: Float[Array, " H"]
    diag_u: Float[Array, " H"]


@serialized
class NBRCParams(NamedTuple):
    """The input map, gates in the order r, u, n; the recurrent map to gates r and u; and their biases."""

    w_x: Float[Array, "D 3*H"]
    w_h: Float[Array, "H 2*H"]
    b: Float[Array, " 2*H"]


@serialized
class BistableState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


def zero_state(hidden_size: int, dtype: Any) -> StateFn[BistableState]:
    """Return ``initial_state`` of both cells: zeros."""

    def initial_state(batch_shape: tuple[int, ...]) -> BistableState:
        return BistableState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), dtype))

    return initial_state


def input_projection(hidden_size: int, dtype: Any) -> InputProjectionFn[Any]:
    """Return ``z = x w_x + b`` where the candidate has no bias."""
    project = linear_maps.input_projection(dtype)

    def input_projection(params: Any, x: Array) -> Array:
        b = jnp.concatenate([params.b, jnp.zeros(hidden_size, params.b.dtype)])
        return project(params._replace(b=b), x)

    return input_projection


def next_hidden(h: Array, r: Array, u: Array, n: Array) -> Array:
    """Return ``σ(u) h + (1 - σ(u)) tanh(n + (1 + tanh r) h)``, from pre-activations without the candidate's h.

    ``1 + tanh r`` is computed as ``2 σ(2 r)``, which does not cancel.
    """
    return interpolate(sigmoid(u), sigmoid(-u), h, tanh(n + 2 * sigmoid(2 * r) * h))


@cell_factory
def brc(
    hidden_size: int,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[BRCParams, BistableState]:
    """Return the bistable recurrent cell, BRC (Vecoven, Ernst & Drion 2021).

    With ``r, u, n`` the three blocks of ``x_t W_x + (b, 0)`` and one weight d a unit and gate,

        a   = 1 + tanh(r + d_r h_{t-1}),    c = σ(u + d_u h_{t-1}),
        h_t = c h_{t-1} + (1 - c) tanh(n + a h_{t-1}):

    each unit reads its own state only. Where the feedback a is below 1 and the input n is zero, h decays to zero; above
    1 the unit is bistable: it stays at one of the two solutions of ``h = tanh(a h)`` other than zero.

    Initial values are those of the authors' code (nvecoven/BRC): ``W_x`` by Glorot, d at 1, b at zero.

    Args:
        hidden_size: H.
        dtype: dtype of the matrix product; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)

    def recurrence(key: Key) -> dict[str, Array]:
        del key
        ones, zeros = jnp.ones((hidden_size,), param_dtype), jnp.zeros((2 * hidden_size,), param_dtype)
        return {"b": zeros, "diag_r": ones, "diag_u": ones + 0}  # two buffers, so that both can be donated

    def after_step(params: BRCParams, h: Array, z: Array) -> Array:
        r, u, n = linear_maps.split_gates(z.astype(param_dtype), 3)
        return next_hidden(h, r + over_batch(params.diag_r, h) * h, u + over_batch(params.diag_u, h) * h, n)

    def update(params: BRCParams, state: BistableState, z: Array, r: Array) -> BistableState:
        del r
        return BistableState(after_step(params, state.hidden, z))

    def log_slopes(params: BRCParams, before: BistableState, after: BistableState, z: Array, r: Array) -> Array:
        del after, r
        return log_abs_slope(lambda h: after_step(params, h, z), before.hidden)

    return Cell(
        spec=CellSpec("brc", hidden_size, hidden_size, dtype, param_dtype),
        init=linear_maps.initial_maps(BRCParams, hidden_size, (0.0, 0.0, 0.0), None, param_dtype, extra=recurrence),
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection(hidden_size, dtype),
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


@cell_factory
def nbrc(
    hidden_size: int,
    recurrent_init: str | Initializer = "glorot",
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[NBRCParams, BistableState]:
    """Return the recurrently neuromodulated bistable cell, nBRC (Vecoven, Ernst & Drion 2021).

    As ``brc``, but the gates of a unit read all units:

        a   = 1 + tanh(r + h_{t-1} W_r),    c = σ(u + h_{t-1} W_u),
        h_t = c h_{t-1} + (1 - c) tanh(n + a h_{t-1}).

    Initial values are those of the authors' code (nvecoven/BRC): all matrices by Glorot, b at zero.

    Args:
        hidden_size: H.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an unknown initialiser or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    maps = linear_maps.initial_maps(NBRCParams, hidden_size, (0.0, 0.0, 0.0), recurrent_init, param_dtype)

    def init(key: Key, input_size: int) -> NBRCParams:
        params = maps(key, input_size)  # the candidate reads the state through r only
        return params._replace(w_h=params.w_h[:, : 2 * hidden_size], b=params.b[: 2 * hidden_size])

    def update(params: NBRCParams, state: BistableState, z: Array, r: Array) -> BistableState:
        del params
        z_gates, n = jnp.split(z, [2 * hidden_size], axis=-1)
        r_gate, u = linear_maps.split_gates(linear_maps.preactivation(z_gates, r, state.hidden), 2)
        return BistableState(next_hidden(state.hidden, r_gate, u, n.astype(param_dtype)))

    return Cell(
        spec=CellSpec("nbrc", hidden_size, hidden_size, dtype, param_dtype),
        init=init,
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection(hidden_size, dtype),
        recurrent_projection=linear_maps.recurrent_projection(dtype),
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_h",)))
