"""The gated recurrent unit, with its reset gate after or before the recurrent product."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_choice, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, Kernel
from rnnlm_jax.cells.cell_functions import Initializer
from rnnlm_jax.kernels import gru as gru_kernel


@serialized
class GRUParams(NamedTuple):
    """Two linear maps and a bias, gates in the order r, u, n; and the candidate's recurrent bias ``b_n``, or None."""

    w_x: Float[Array, "D 3*H"]
    w_h: Float[Array, "H 3*H"]
    b: Float[Array, " 3*H"]
    b_n: Float[Array, " H"] | None


@serialized
class GRUState(NamedTuple):
    """The hidden state h."""

    hidden: Float[Array, "*B H"]


@cell_factory
def gru(
    hidden_size: int,
    reset: str = "after",
    candidate_bias: bool = True,
    *,
    recurrent_init: str | Initializer = "orthogonal",
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[GRUParams, GRUState]:
    """Return the gated recurrent unit (Cho et al. 2014, eqs. 5-8).

    With ``a_r, a_u, a_n`` the three blocks of ``x_t W_x + b`` and ``U_r, U_u, U_n`` those of ``W_h``,

        r = σ(a_r + h_{t-1} U_r),    u = σ(a_u + h_{t-1} U_u),    h_t = (1 - u) n + u h_{t-1},
        n = tanh(a_n + r (h_{t-1} U_n + b_n))    with ``reset="after"`` (torch, cuDNN), or
        n = tanh(a_n + (r h_{t-1}) U_n)          with ``reset="before"`` (the paper).

    With ``reset="before"`` the reset gate couples units, so that the cell does not split; ``b_n`` would be redundant
    beside ``b`` there and is left out.

    Args:
        hidden_size: H.
        reset: "after" or "before" the recurrent product.
        candidate_bias: whether there is a ``b_n``; read with ``reset="after"`` only.
        recurrent_init: initialiser of each gate's block of ``w_h``, see ``elman``.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for another ``reset``, an unknown initialiser, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    after = check_choice("reset", reset, ("after", "before")) == "after"
    input_projection = linear_maps.input_projection(dtype)

    def extra(key: Key) -> dict[str, Array | None]:
        del key
        return {"b_n": jnp.zeros((hidden_size,), param_dtype) if after and candidate_bias else None}

    def initial_state(batch_shape: tuple[int, ...]) -> GRUState:
        return GRUState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def gates(a: Array) -> tuple[Array, Array, Array]:
        """Return ``r, u, 1 - u`` from one sigmoid of the whole, which vectorises on CPUs; those of slices do not."""
        both = jnp.concatenate([a, -linear_maps.split_gates(a, 2)[1]], axis=-1)
        reset_gate, u, new = linear_maps.split_gates(sigmoid(both), 3)
        return reset_gate, u, new

    def run_kernel(
        params: GRUParams, state: GRUState, xs: Array, step_mask: Array, keep_state: Array, *, reverse: bool
    ) -> tuple[GRUState, GRUState]:
        zs, b = linear_maps.without_bias(input_projection, params, xs)
        b_n = jnp.zeros(hidden_size, zs.dtype) if params.b_n is None else params.b_n
        hs, hidden = gru_kernel.gru(zs, params.w_h, b, b_n, state.hidden, step_mask, keep_state, reverse=reverse)
        return GRUState(hidden), GRUState(hs)

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
        input_projection=input_projection,
        readout=linear_maps.read_hidden,
        recurrent_projection=linear_maps.recurrent_projection(dtype) if after else None,
        update=update if after else None,
        whole_step=None if after else step_before,
    ).with_facts(CellFacts(kernel=Kernel(GRUParams, run_kernel) if after else None, recurrent_matrices=("w_h",)))
