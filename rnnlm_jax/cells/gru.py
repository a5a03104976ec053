"""The gated recurrent unit, with its reset gate after or before the recurrent product."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.initializers import Initializer


@serialized
class GRUParams(NamedTuple):
    """Two linear maps and a bias, gates in the order r, z, n; and the recurrent candidate bias ``b_n``, or None."""

    w_x: Float[Array, "D 3*H"]
    w_h: Float[Array, "H 3*H"]
    b: Float[Array, " 3*H"]
    b_n: Float[Array, " H"] | None


@serialized
class GRUState(NamedTuple):
    """The hidden state ``h``."""

    hidden: Float[Array, "*B H"]


@cell_factory
def gru(
    hidden_size: int,
    reset: str = "after",
    candidate_bias: bool = True,
    recurrent_init: str | Initializer = "orthogonal",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[GRUParams, GRUState]:
    """The gated recurrent unit (Cho et al. 2014, eqs. 5-8).

    With ``a_r, a_z, a_n`` the three blocks of ``x_t W_x + b`` and ``U_r, U_z, U_n`` those of ``W_h``,

        r = σ(a_r + h_{t-1} U_r),    u = σ(a_z + h_{t-1} U_z),    h_t = (1 - u) n + u h_{t-1},
        n = tanh(a_n + r (h_{t-1} U_n + b_n))    with ``reset="after"`` (torch, cuDNN), or
        n = tanh(a_n + (r h_{t-1}) U_n)          with ``reset="before"`` (the paper).

    Before the product the reset gate couples units, so that form does not split; ``b_n`` would repeat ``b`` there
    and is left out.

    Args:
        hidden_size: H.
        reset: "after" or "before" the recurrent product.
        candidate_bias: whether there is a ``b_n``, which with ``reset="after"`` is not redundant.
        recurrent_init: of each gate's block of ``w_h``, see ``elman``.
        dtype: of the products; ``param_dtype`` unless given.
        param_dtype: of parameters and state.

    Raises:
        UserError: for another ``reset``, an unknown initialiser, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    after = check_choice("reset", reset, ("after", "before")) == "after"

    def extra(key: Key) -> dict[str, Array | None]:
        del key
        return {"b_n": jnp.zeros((hidden_size,), param_dtype) if after and candidate_bias else None}

    def initial_state(batch_shape: tuple[int, ...]) -> GRUState:
        return GRUState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def gates(a: Array) -> tuple[Array, Array, Array]:
        """``r, u, 1 - u``, of one sigmoid: it vectorises on CPUs, one of a slice does not."""
        both = jnp.concatenate([a, -linear_maps.split_gates(a, 2)[1]], axis=-1)
        reset_gate, u, new = linear_maps.split_gates(sigmoid(both), 3)
        return reset_gate, u, new

    def update(params: GRUParams, state: GRUState, z: Array, r: Array) -> GRUState:
        z_gates, z_n = jnp.split(z.astype(param_dtype), [2 * hidden_size], axis=-1)
        r_gates, r_n = jnp.split(r.astype(param_dtype), [2 * hidden_size], axis=-1)
        reset_gate, u, new = gates(z_gates + r_gates)
        if params.b_n is not None:
            r_n = r_n + over_batch(params.b_n, r_n)
        return GRUState(interpolate(u, new, state.hidden, tanh(z_n + reset_gate * r_n)))

    def step_before(params: GRUParams, state: GRUState, z: Array) -> GRUState:
        w_gates, w_n = jnp.split(params.w_h, [2 * hidden_size], axis=-1)
        z_gates, z_n = jnp.split(z, [2 * hidden_size], axis=-1)
        r_gates = linear_maps.product(state.hidden, w_gates, dtype)
        reset_gate, u, new = gates(linear_maps.preactivation(z_gates, r_gates, state.hidden))
        r_n = linear_maps.product(reset_gate * state.hidden, w_n, dtype)
        n = tanh(linear_maps.preactivation(z_n, r_n, state.hidden))
        return GRUState(interpolate(u, new, state.hidden, n))

    return Cell(
        spec=CellSpec("gru", hidden_size, hidden_size, dtype, param_dtype, (("reset", reset),)),
        init=linear_maps.initial_maps(
            GRUParams, hidden_size, (0.0, 0.0, 0.0), recurrent_init, param_dtype, extra=extra
        ),
        initial_state=initial_state,
        input_projection=linear_maps.input_projection(dtype),
        readout=linear_maps.read_hidden,
        recurrent_projection=linear_maps.recurrent_projection(dtype) if after else None,
        update=update if after else None,
        whole_step=None if after else step_before,
    )
