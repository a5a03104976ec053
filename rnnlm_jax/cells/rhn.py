"""The recurrent highway network: several highway layers within one step of time."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import interpolate, sigmoid, tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts
from rnnlm_jax.errors import ArgumentError


@serialized
class RHNParams(NamedTuple):
    """The input map, and the maps and biases of L micro-steps side by side; blocks in the order n, t in each."""

    w_x: Float[Array, "D 2*H"]
    w_s: Float[Array, "H L*2*H"]
    b: Float[Array, " L*2*H"]


@serialized
class RHNState(NamedTuple):
    """The hidden state s, after the last micro-step."""

    hidden: Float[Array, "*B H"]


@cell_factory
def rhn(
    hidden_size: int,
    depth: int = 5,
    transform_bias: float = -2.0,
    init_scale: float = 0.04,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[RHNParams, RHNState]:
    """Return the recurrent highway network, RHN, with coupled gates (Zilly et al. 2017, eqs. 6-9).

    From ``s_0 = h_{t-1}``, micro-step k = 1 … L computes, with ``n, t`` the two blocks of ``s_{k-1} W_k + b_k``, and in
    the first one of ``s_0 W_1 + b_1 + x_t W_x``,

        s_k = σ(t) tanh(n) + (1 - σ(t)) s_{k-1},    h_t = s_L.

    L is a matter of data and size: the paper's networks have 1 to 10 micro-steps, at equal numbers of parameters the
    better the deeper on the Penn Treebank, with most of the gain up to 5, the default here.

    Args:
        hidden_size: H.
        depth: L, the number of micro-steps.
        transform_bias: initial bias of every transform gate t; -2 in the paper's Penn Treebank models, -4 in those of
            characters. Biases of n start at zero.
        init_scale: all matrices are drawn uniformly from ± this, as in the paper.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for a depth that is not a whole number of at least 1, a scale that is not above zero, or a size
            that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ArgumentError(f"`depth` must be a whole number of at least 1, not {depth!r:.60}: one micro-step or more")
    if init_scale <= 0:
        raise ArgumentError(f"`init_scale` must be above 0, not {init_scale!r}: matrices are drawn from ± it")
    width = 2 * hidden_size

    def init(key: Key, input_size: int) -> RHNParams:
        check_size("input_size", input_size)
        x_key, s_key = jax.random.split(key)

        def draw(key: Key, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, param_dtype, -init_scale, init_scale)

        step_bias = jnp.repeat(jnp.asarray([0.0, transform_bias], param_dtype), hidden_size)
        w_x, w_s = draw(x_key, (input_size, width)), draw(s_key, (hidden_size, depth * width))
        return RHNParams(w_x, w_s, jnp.tile(step_bias, depth))

    def initial_state(batch_shape: tuple[int, ...]) -> RHNState:
        return RHNState(jnp.zeros((*check_batch_shape(batch_shape), hidden_size), param_dtype))

    def input_projection(params: RHNParams, x: Array) -> Array:
        return linear_maps.product(x, params.w_x, dtype)

    def whole_step(params: RHNParams, state: RHNState, z: Array) -> RHNState:
        s, z = state.hidden, z.astype(param_dtype)
        matrices, biases = jnp.split(params.w_s, depth, axis=-1), jnp.split(params.b, depth)
        for k, (w, b) in enumerate(zip(matrices, biases, strict=True)):
            a = linear_maps.product(s, w, dtype).astype(param_dtype)
            a = a + over_batch(b, a)
            a = a + z if k == 0 else a
            n, t = linear_maps.split_gates(a, 2)
            s = interpolate(sigmoid(-t), sigmoid(t), s, tanh(n))
        return RHNState(s)

    variant = (("depth", depth), ("transform_bias", transform_bias), ("init_scale", init_scale))
    return Cell(
        spec=CellSpec("rhn", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        whole_step=whole_step,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(recurrent_matrices=("w_s",)))
