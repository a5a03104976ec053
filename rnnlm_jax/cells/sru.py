"""The simple recurrent unit: gates that read their own unit's state only, and a highway from the input."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure
from rnnlm_jax.cells.lstm import LSTMState, zero_state
from rnnlm_jax.errors import ArgumentError


@serialized
class SRUParams(NamedTuple):
    """The input map, blocks in the order g, f, r, s; the weights of c in the gates f and r; and their biases.

    There is no block s, G is 3, where inputs have H features: the highway then carries the input itself.
    """

    w_x: Float[Array, "D G*H"]
    v_f: Float[Array, " H"]
    v_r: Float[Array, " H"]
    b: Float[Array, " 2*H"]


@cell_factory
def sru(
    hidden_size: int,
    highway_bias: float = 0.0,
    *,
    rescale: bool = True,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[SRUParams, LSTMState]:
    """Return the simple recurrent unit, SRU (Lei et al. 2018, eqs. 1-4).

    With ``g, f, r, s`` the blocks of ``x_t W_x``,

        c_t = F c_{t-1} + (1 - F) g,      F = σ(f + v_f c_{t-1} + b_f),
        h_t = R c_t + (1 - R) s,          R = σ(r + v_r c_{t-1} + b_r).

    Both gates read the state before the step. Where inputs have H features, the highway carries ``s = α x_t`` and there
    is no matrix for it; ``α = √(1 + 2 exp(highway_bias))`` keeps the variance through layers. Otherwise the
    matrix of s is drawn larger by α.

    At first g has variance 1 for inputs of variance 1, from uniform entries; the matrices of f and r are smaller by √½,
    and v_f and v_r uniform with variance ½, as in the authors' code.

    Args:
        hidden_size: H.
        highway_bias: initial value of b_r; a negative one lets more of the input pass at first.
        rescale: whether the highway is scaled by α; 1 otherwise.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if the bias is not a number from -100 to 100, or the size not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    if not -100 <= highway_bias <= 100:
        raise ArgumentError(f"`highway_bias` must be between -100 and 100, not {highway_bias}: it is a logit")
    alpha = math.sqrt(1 + 2 * math.exp(highway_bias)) if rescale else 1.0

    def init(key: Key, input_size: int) -> SRUParams:
        check_size("input_size", input_size)
        scales = [1.0, math.sqrt(0.5), math.sqrt(0.5)] + ([] if input_size == hidden_size else [alpha])
        w_key, f_key, r_key = jax.random.split(key, 3)

        def uniform(key: Key, shape: tuple[int, ...], variance: float) -> Array:
            limit = math.sqrt(3 * variance)
            return jax.random.uniform(key, shape, param_dtype, -limit, limit)

        w_x = [
            scale * uniform(k, (input_size, hidden_size), 1 / input_size)
            for scale, k in zip(scales, jax.random.split(w_key, len(scales)), strict=True)
        ]
        biases = [jnp.full((hidden_size,), bias, param_dtype) for bias in (0.0, highway_bias)]
        return SRUParams(
            w_x=jnp.concatenate(w_x, axis=1),
            v_f=uniform(f_key, (hidden_size,), 0.5),
            v_r=uniform(r_key, (hidden_size,), 0.5),
            b=jnp.concatenate(biases),
        )

    def input_projection(params: SRUParams, x: Array) -> Array:
        """Return g, f, r and s, with the biases of the gates added."""
        z = linear_maps.product(x, params.w_x, dtype)
        if params.w_x.shape[1] == 3 * hidden_size:
            z = jnp.concatenate([z, alpha * x.astype(dtype)], axis=-1)
        zeros = jnp.zeros((hidden_size,), params.b.dtype)
        return z + jnp.broadcast_to(jnp.concatenate([zeros, params.b, zeros]), z.shape).astype(dtype)

    def recurrent_projection(params: SRUParams, state: LSTMState) -> Array:
        del params
        return jnp.zeros_like(state.cell)  # no unit reads another

    def update(params: SRUParams, state: LSTMState, z: Array, r: Array) -> LSTMState:
        del r
        before = state.cell
        g, f, reset, s = linear_maps.split_gates(z.astype(param_dtype), 4)
        f = f + over_batch(params.v_f, before) * before
        reset = reset + over_batch(params.v_r, before) * before
        cell = interpolate(sigmoid(f), sigmoid(-f), before, g)
        return LSTMState(interpolate(sigmoid(reset), sigmoid(-reset), cell, s), cell)

    return Cell(
        spec=CellSpec(
            "sru",
            hidden_size,
            hidden_size,
            dtype,
            param_dtype,
            (("highway_bias", highway_bias), ("rescale", rescale)),
        ),
        init=init,
        initial_state=zero_state(hidden_size, param_dtype),
        input_projection=input_projection,
        recurrent_projection=recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(jacobian=JacobianStructure.BLOCK, recurrent_matrices=()))
