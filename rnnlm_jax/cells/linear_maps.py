"""The two linear maps that cells share: input to gates, hidden state to gates.

Gates lie side by side on the last axis, ``[..., G*H]``. Products are taken in the compute dtype; ``preactivation``
casts their sum back to the dtype of the state, so that everything elementwise, and the state itself, keeps full
precision.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from rnnlm_jax.array_types import Array, Float, Key, Tree
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.mesh_axes import explicit_spec, without_explicit_axes
from rnnlm_jax.cells import initializers
from rnnlm_jax.cells.cell import check_size
from rnnlm_jax.cells.cell_functions import InitFn, Initializer, InputProjectionFn, Params, RecurrentProjectionFn
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.kernels.matmul import matmul


def product(x: Float[Array, "*B K"], w: Float[Array, "_ N"], dtype: np.dtype) -> Float[Array, "*B N"]:
    """Return ``x @ w`` with operands and result in the compute dtype.

    Raises:
        ArgumentError: if ``x`` does not have as many features as ``w`` has rows.
    """
    check_features(x, w)

    def by_rows(x: Array, w: Array) -> Array:
        rows = matmul(x.astype(dtype).reshape(-1, x.shape[-1]), w.astype(dtype))
        return rows.reshape(*x.shape[:-1], w.shape[1])

    return without_explicit_axes(by_rows, (x, w), PartitionSpec(*explicit_spec(x)[:-1], None))


def check_features(x: Float[Array, "*B K"], w: Float[Array, "_ N"]) -> None:
    """Check that inputs have as many features as a matrix has rows.

    Raises:
        ArgumentError: if they do not.
    """
    if x.shape[-1] != w.shape[0]:
        raise ArgumentError(f"{x.shape[-1]} features do not fit parameters made for {w.shape[0]}: check `input_size`")


def input_projection(dtype: np.dtype) -> InputProjectionFn[Any]:
    """Return ``z = x w_x + b``, for parameters with ``w_x [D, G*H]`` and ``b [G*H]`` or None."""

    def input_projection(params: Tree, x: Array) -> Array:
        z = product(x, params.w_x, dtype)
        if params.b is None:
            return z
        # Broadcast to all rows before the cast, so that the gradient of b is a sum over rows in its own dtype.
        return z + jnp.broadcast_to(params.b, z.shape).astype(dtype)

    return input_projection


def without_bias(projection: InputProjectionFn[Any], params: Tree, xs: Array) -> tuple[Array, Array]:
    """Return ``xs w_x`` and ``b`` (zeros without a bias): kernels add it, which saves a pass over the products."""
    zs = projection(params._replace(b=None), xs)
    return zs, jnp.zeros(zs.shape[-1], zs.dtype) if params.b is None else params.b


def recurrent_projection(dtype: np.dtype) -> RecurrentProjectionFn[Any, Any]:
    """Return ``r = h w_h``, for parameters with ``w_h [H, G*H]`` and states with ``hidden``."""

    def recurrent_projection(params: Tree, state: Tree) -> Array:
        return product(state.hidden, params.w_h, dtype)

    return recurrent_projection


def no_recurrent_projection(params: Tree, state: Tree) -> Array:
    """Return zeros ``[*B, H]``: ``recurrent_projection`` of a cell in which no unit reads another."""
    del params
    return jnp.zeros_like(state.hidden)


def read_hidden(params: Tree, state: Tree) -> Array:
    """Return the hidden state: ``readout`` of a cell without a projection."""
    del params
    return state.hidden


def preactivation(z: Array, r: Array, like: Array) -> Array:
    """Return ``z + r`` in the dtype of ``like``, a part of the state."""
    return z.astype(like.dtype) + r.astype(like.dtype)


def split_gates(a: Array, gates: int) -> list[Array]:
    """Return the ``gates`` blocks of the last axis."""
    return jnp.split(a, gates, axis=-1)


def activate_gates(a: Array, gates: int, candidate: int) -> list[Array]:
    """Return the ``gates`` blocks of the last axis: ``tanh`` of block number ``candidate``, ``σ`` of all others.

    One sigmoid of the whole, of which the candidate's block is not used, vectorises on CPUs; three of slices do not.
    """
    blocks = split_gates(sigmoid(a), gates)
    blocks[candidate] = tanh(split_gates(a, gates)[candidate])
    return blocks


def rounded(w: Array, dtype: np.dtype) -> Array:
    """Return a matrix in its own dtype, rounded as products in the compute dtype round it."""
    return w.astype(dtype).astype(w.dtype)


def last_block(hidden_size: int, dtype: np.dtype) -> Callable[[Tree], Float[Array, "H H"]]:
    """Return a function of the parameters: the block of ``w_h`` that feeds the last gate, rounded as products are."""

    def last_block(params: Tree) -> Array:
        return rounded(params.w_h[:, -hidden_size:], dtype)

    return last_block


def initial_maps(
    params_type: Callable[..., Params],
    hidden_size: int,
    gate_biases: Sequence[float],
    recurrent_init: str | Initializer | None,
    dtype: Any,
    *,
    feedback_size: int | None = None,
    extra: Callable[[Key], Mapping[str, Array | None]] = lambda key: {},
) -> InitFn[Params]:
    """Return ``init`` of a cell: ``w_x [D, G*H]`` (Glorot), ``w_h [P, G*H]`` and ``b [G*H]``, one constant a gate.

    Each gate's block is drawn on its own, with its own fan-out: a fused matrix would make Glorot's limits too small.

    Args:
        params_type: the NamedTuple of parameters.
        hidden_size: H.
        gate_biases: the initial bias of each gate; their number is G.
        recurrent_init: initialiser of each gate's block of ``w_h``; None for parameters without ``w_h``.
        dtype: dtype of the parameters.
        feedback_size: P, the width that is fed back; H unless given.
        extra: key to further fields of ``params_type``, or to fields in place of these three.
    """
    recurrent = None if recurrent_init is None else initializers.recurrent_initializer(recurrent_init)
    gates = len(gate_biases)

    def init(key: Key, input_size: int) -> Params:
        check_size("input_size", input_size)
        key, extra_key = jax.random.split(key)
        keys = jax.random.split(key, 2 * gates)
        w_x = [initializers.glorot(k, (input_size, hidden_size), dtype) for k in keys[:gates]]
        b = [jnp.full((hidden_size,), bias, dtype) for bias in gate_biases]
        maps = {"w_x": jnp.concatenate(w_x, axis=1), "b": jnp.concatenate(b)}
        if recurrent is not None:
            w_h = [recurrent(k, (feedback_size or hidden_size, hidden_size), dtype) for k in keys[gates:]]
            maps["w_h"] = jnp.concatenate(w_h, axis=1)
        return params_type(**{**maps, **extra(extra_key)})

    return init
