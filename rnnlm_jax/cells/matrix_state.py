"""What cells with a matrix for a state share: heads, outer products, and reading a matrix with a vector.

The state of each head is a matrix ``[d_v, d_k]`` that stores values under keys; all numbers stay in the dtype of the
state, and products of a matrix and a vector are sums of products, exact in float32 on every platform.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Tree
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.errors import ArgumentError


def size_of_heads(hidden_size: int, heads: int) -> int:
    """Return the number of units of each head, ``hidden_size / heads``.

    Raises:
        ArgumentError: if ``heads`` is not a positive whole number that divides ``hidden_size``.
    """
    if hidden_size % check_size("heads", heads):
        raise ArgumentError(f"`heads` must divide `hidden_size`, {hidden_size}, but {heads} does not")
    return hidden_size // heads


def split_parts(z: Array, sizes: Sequence[int], dtype: Any) -> list[Array]:
    """Return the parts of a projected input, of the given sizes, in a dtype."""
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes) - 1)]
    return jnp.split(z.astype(dtype), ends, axis=-1)


def by_head(a: Float[Array, "*B n"], heads: int) -> Float[Array, "*B heads d"]:
    """Return vectors of all heads side by side as one vector a head."""
    return a.reshape(*a.shape[:-1], heads, a.shape[-1] // heads)


def side_by_side(a: Float[Array, "*B heads d"]) -> Float[Array, "*B n"]:
    """Return the vectors of all heads side by side, the inverse of ``by_head``."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def outer(v: Float[Array, "*B d_v"], k: Float[Array, "*B d_k"]) -> Float[Array, "*B d_v d_k"]:
    """Return ``v kᵀ``."""
    return v[..., :, None] * k[..., None, :]


def times(matrix: Float[Array, "*B d_v d_k"], k: Float[Array, "*B d_k"]) -> Float[Array, "*B d_v"]:
    """Return ``S k``."""
    return (matrix * k[..., None, :]).sum(axis=-1)


def token_flops(params: Tree, products: int, state_numbers: int) -> float:
    """Return the operations of one step: of the input's products, and of products with the matrices of the state.

    Args:
        params: the parameters, or their shapes.
        products: how many products of the size of the state a step has, an outer one or one with a vector.
        state_numbers: size of the matrices of the state, ``heads · d_v · d_k``.
    """
    return matrix_flops(params) + 2.0 * products * state_numbers
