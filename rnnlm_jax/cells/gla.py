"""Gated linear attention as a recurrence: a matrix state whose columns decay by gates of the input."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_number, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.matrix_state import by_head, outer, side_by_side, size_of_heads, split_parts, times, token_flops
from rnnlm_jax.errors import ArgumentError


@serialized
class GLAParams(NamedTuple):
    """The input maps; ``K = heads · d_k``, ``H = heads · d_v``, R the rank of the map to the decay."""

    w_x: Float[Array, "D _"]
    """Blocks q ``[D, K]``, k ``[D, K]``, v ``[D, H]`` and the output gate ``[D, H]``."""
    w_down: Float[Array, "D R"]
    w_decay: Float[Array, "R K"]
    b_decay: Float[Array, " K"]
    b_gate: Float[Array, " H"]


@serialized
class GLAState(NamedTuple):
    """The matrix S of each head: values in its rows, keys in its columns."""

    memory: Float[Array, "*B heads d_v d_k"]


@cell_factory
def gla(
    hidden_size: int,
    heads: int = 1,
    *,
    key_size: int | None = None,
    gate_rank: int = 16,
    temperature: float = 16.0,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[GLAParams, GLAState]:
    """Return gated linear attention (Yang et al. 2024, "Gated Linear Attention Transformers", sections 4.1 and 4.4).

    With ``q, k, v, r`` linear in ``x_t``, for each head

        S_t = S_{t-1} diag(α) + v kᵀ,    α = σ(x_t W_down W_decay + b)^{1/τ},
        h_t = swish(r + b_r) ⊙ S_t q / √d_k,

    where S is the transpose of the paper's, and ``swish(a) = a σ(a)``. Each number of S decays by itself, by gates that
    do not read the state. The paper's layer also normalises the output of each head before the gate, and multiplies it
    by a matrix after it: both are left out. (The scale is that of the authors' code.)

    Args:
        hidden_size: H, the width of the output.
        heads: number of heads; divides H.
        key_size: d_k of each head; as wide as its values, ``H / heads``, unless given.
        gate_rank: rank of the map from the input to the decay.
        temperature: τ; α starts near ``2^{-1/τ}``.
        dtype: dtype of the matrix products with the input; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if ``heads`` does not divide H, a size is not positive, or τ is not.
    """
    value_size = size_of_heads(hidden_size, heads)
    key_size = value_size if key_size is None else check_size("key_size", key_size)
    gate_rank = check_size("gate_rank", gate_rank)
    check_number("temperature", temperature)
    if temperature <= 0:
        raise ArgumentError(f"`temperature` must be above 0, not {temperature}")
    keys = heads * key_size
    sizes = (keys, keys, hidden_size, hidden_size, keys)  # of q, k, v, the output gate, and the decay

    def init(key: Key, input_size: int) -> GLAParams:
        check_size("input_size", input_size)
        shapes = [(input_size, size) for size in sizes[:4]] + [(input_size, gate_rank), (gate_rank, keys)]
        drawn = jax.random.split(key, len(shapes))
        *blocks, w_down, w_decay = (initializers.glorot(k, s, param_dtype) for k, s in zip(drawn, shapes, strict=True))
        b_decay, b_gate = (jnp.zeros((size,), param_dtype) for size in (keys, hidden_size))
        return GLAParams(jnp.concatenate(blocks, axis=1), w_down, w_decay, b_decay, b_gate)

    def initial_state(batch_shape: tuple[int, ...]) -> GLAState:
        return GLAState(jnp.zeros((*check_batch_shape(batch_shape), heads, value_size, key_size), param_dtype))

    def input_projection(params: GLAParams, x: Array) -> Array:
        low = linear_maps.product(x, params.w_down, dtype)
        maps = [linear_maps.product(x, params.w_x, dtype), linear_maps.product(low, params.w_decay, dtype)]
        zeros = jnp.zeros((2 * keys + hidden_size,), param_dtype)
        b = jnp.concatenate([zeros, params.b_gate, params.b_decay])
        z = jnp.concatenate(maps, axis=-1)
        return z + jnp.broadcast_to(b, z.shape).astype(dtype)

    def log_decay(z: Array) -> Array:
        """Return ``ln α`` of each key."""
        return log_sigmoid(split_parts(z, sizes, param_dtype)[4]) / temperature

    def whole_step(params: GLAParams, state: GLAState, z: Array) -> GLAState:
        del params
        _, k, v, _, _ = split_parts(z, sizes, param_dtype)
        decay = by_head(jnp.exp(log_decay(z)), heads)
        return GLAState(state.memory * decay[..., None, :] + outer(by_head(v, heads), by_head(k, heads)))

    def gated_readout(params: GLAParams, state: GLAState, z: Array) -> Array:
        del params
        q, _, _, gate, _ = split_parts(z, sizes, param_dtype)
        read = side_by_side(times(state.memory, by_head(q, heads) * key_size**-0.5))
        return gate * sigmoid(gate) * read

    def log_slopes(params: GLAParams, before: GLAState, after: GLAState, z: Array, r: Array) -> Array:
        """Return ``d_v ln α``, one number a key: the values stored under a key decay together."""
        del params, before, after, r
        return value_size * log_decay(z)

    variant = (("heads", heads), ("key_size", key_size), ("gate_rank", gate_rank), ("temperature", temperature))
    return Cell(
        spec=CellSpec("gla", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        whole_step=whole_step,
        gated_readout=gated_readout,
    ).with_facts(
        CellFacts(
            is_linear=True,
            jacobian=JacobianStructure.DIAGONAL,
            log_determinant=LogDeterminant(log_slopes),
            token_flops=lambda params: token_flops(params, 2, hidden_size * key_size),
            recurrent_matrices=(),
        )
    )
