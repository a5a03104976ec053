"""DeltaNet: a matrix state that the delta rule corrects, one key a step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_flag, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure, LogDeterminant
from rnnlm_jax.cells.matrix_state import by_head, outer, side_by_side, size_of_heads, split_parts, times, token_flops

#: Added to squared lengths before the root, as in the authors' code.
LEAST_SQUARE = 1e-6


@serialized
class DeltaNetParams(NamedTuple):
    """The input map: blocks q and k ``[D, K]``, v ``[D, H]`` and β ``[D, heads]``; ``K = heads · d_k``."""

    w_x: Float[Array, "D _"]


@serialized
class DeltaNetState(NamedTuple):
    """The matrix S of each head: values in its rows, keys in its columns."""

    memory: Float[Array, "*B heads d_v d_k"]


def swish(a: Array) -> Array:
    """Return ``a σ(a)``."""
    return a * sigmoid(a)


def unit_vectors(a: Float[Array, "*B n"]) -> Float[Array, "*B n"]:
    """Return vectors divided by ``√(‖a‖² + 1e-6)``."""
    return a * jax.lax.rsqrt((a * a).sum(axis=-1, keepdims=True) + LEAST_SQUARE)


@cell_factory
def deltanet(
    hidden_size: int,
    heads: int = 1,
    *,
    key_size: int | None = None,
    negative_eigenvalues: bool = False,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[DeltaNetParams, DeltaNetState]:
    """Return DeltaNet (Schlag, Irie & Schmidhuber 2021, section 4.2; Yang et al. 2024, "Parallelizing …", section 2.2).

    With ``a_q, a_k, a_v, b`` linear in ``x_t``, for each head

        S_t = S_{t-1} (I - β k kᵀ) + β v kᵀ = S_{t-1} + β (v - S_{t-1} k) kᵀ,    h_t = S_t q,
        q = swish(a_q) / ‖swish(a_q)‖,    k = swish(a_k) / ‖swish(a_k)‖,    v = swish(a_v),    β = σ(b):

    what is stored under the key k moves to v by the share β. Each row of S, one value, depends on itself only. The
    paper's layer also convolves q, k and v over four steps, normalises h_t and multiplies it by a
    matrix: these are left out. Lengths are ``√(‖a‖² + 1e-6)``, as in the authors' code.

    With ``negative_eigenvalues``, β is ``2 σ(b)``, and the eigenvalue ``1 - β`` of a step in ``(-1, 1)`` (Grazzi et al.
    2025): such a layer can tell the parity of a sequence.

    Args:
        hidden_size: H, the width of the output.
        heads: number of heads; divides H.
        key_size: d_k of each head; as wide as its values, ``H / heads``, unless given.
        negative_eigenvalues: whether β ranges up to 2.
        dtype: dtype of the matrix products with the input; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: if ``heads`` does not divide H, or a size is not positive.
    """
    value_size = size_of_heads(hidden_size, heads)
    key_size = value_size if key_size is None else check_size("key_size", key_size)
    check_flag("negative_eigenvalues", negative_eigenvalues)
    keys = heads * key_size
    sizes = (keys, keys, hidden_size, heads)  # of q, k, v, β

    def init(key: Key, input_size: int) -> DeltaNetParams:
        check_size("input_size", input_size)
        drawn = jax.random.split(key, len(sizes))
        blocks = [initializers.glorot(k, (input_size, size), param_dtype) for k, size in zip(drawn, sizes, strict=True)]
        return DeltaNetParams(jnp.concatenate(blocks, axis=1))

    def initial_state(batch_shape: tuple[int, ...]) -> DeltaNetState:
        return DeltaNetState(jnp.zeros((*check_batch_shape(batch_shape), heads, value_size, key_size), param_dtype))

    def input_projection(params: DeltaNetParams, x: Array) -> Array:
        return linear_maps.product(x, params.w_x, dtype)

    def whole_step(params: DeltaNetParams, state: DeltaNetState, z: Array) -> DeltaNetState:
        del params
        _, k, v, b = split_parts(z, sizes, param_dtype)
        k = unit_vectors(swish(by_head(k, heads)))
        beta = sigmoid(b) * (2.0 if negative_eigenvalues else 1.0)
        error = swish(by_head(v, heads)) - times(state.memory, k)
        return DeltaNetState(state.memory + outer(beta[..., None] * error, k))

    def gated_readout(params: DeltaNetParams, state: DeltaNetState, z: Array) -> Array:
        del params
        q = split_parts(z, sizes, param_dtype)[0]
        return side_by_side(times(state.memory, unit_vectors(swish(by_head(q, heads)))))

    def log_slopes(params: DeltaNetParams, before: DeltaNetState, after: DeltaNetState, z: Array, r: Array) -> Array:
        """Return ``d_v ln|1 - β ‖k‖²|`` of each head, without cancellation."""
        del params, before, after, r
        _, k, _, b = split_parts(z, sizes, param_dtype)
        squares = jnp.square(swish(by_head(k, heads))).sum(axis=-1)
        short = LEAST_SQUARE / (squares + LEAST_SQUARE)  # 1 - ‖k‖²
        if negative_eigenvalues:
            return value_size * jnp.log(jnp.abs(2.0 * sigmoid(b) * short - tanh(0.5 * b)))
        return value_size * jnp.logaddexp(log_sigmoid(-b), log_sigmoid(b) + jnp.log(short))

    variant = (("heads", heads), ("key_size", key_size), ("negative_eigenvalues", negative_eigenvalues))
    return Cell(
        spec=CellSpec("deltanet", hidden_size, hidden_size, dtype, param_dtype, variant),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        whole_step=whole_step,
        gated_readout=gated_readout,
    ).with_facts(
        CellFacts(
            is_linear=True,
            jacobian=JacobianStructure.BLOCK,
            blocks=hidden_size,
            log_determinant=LogDeterminant(log_slopes),
            token_flops=lambda params: token_flops(params, 3, hidden_size * key_size),
            recurrent_matrices=(),
        )
    )
