"""The two linear maps that cells share: input to gates, hidden state to gates.

Gates lie side by side on the last axis, ``[..., G*H]``. Products are taken in the compute dtype; ``preactivation``
brings their sum back to the dtype of the state, so that everything elementwise, and the state itself, keeps full
precision.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from rnnlm_jax.array_types import Array, Key, Tree
from rnnlm_jax.arrays.activations import sigmoid, tanh
from rnnlm_jax.arrays.mesh_axes import explicit_spec, without_explicit_axes
from rnnlm_jax.cells import initializers
from rnnlm_jax.cells.cell import InitFn, InputProjectionFn, Params, RecurrentProjectionFn, check_size
from rnnlm_jax.errors import UserError
from rnnlm_jax.kernels.matmul import matmul


def product(x: Array, w: Array, dtype: Any) -> Array:
    """``x @ w`` with operands and result in the compute dtype.

    Raises:
        UserError: if ``x`` does not have as many features as ``w`` has rows.
    """
    if x.shape[-1] != w.shape[0]:
        raise UserError(f"{x.shape[-1]} features do not fit parameters made for {w.shape[0]}: check input_size")

    def by_rows(x: Array, w: Array) -> Array:
        rows = matmul(x.astype(dtype).reshape(-1, x.shape[-1]), w.astype(dtype))
        return rows.reshape(*x.shape[:-1], w.shape[1])

    return without_explicit_axes(by_rows, (x, w), PartitionSpec(*explicit_spec(x)[:-1], None))


def input_projection(dtype: Any) -> InputProjectionFn[Any]:
    """``input_projection`` of a cell whose parameters hold ``w_x [D, G*H]`` and ``b [G*H]`` (or None): ``z = x w_x + b``."""

    def input_projection(params: Tree, x: Array) -> Array:
        z = product(x, params.w_x, dtype)
        if params.b is None:
            return z
        # Laid out for all rows before it is made narrow: so its gradient is a sum over rows in its own type.
        return z + jnp.broadcast_to(params.b, z.shape).astype(dtype)

    return input_projection


def recurrent_projection(dtype: Any) -> RecurrentProjectionFn[Any, Any]:
    """``recurrent_projection`` of a cell whose parameters hold ``w_h [H, G*H]``: ``r = h w_h``."""

    def recurrent_projection(params: Tree, state: Tree) -> Array:
        return product(state.hidden, params.w_h, dtype)

    return recurrent_projection


def read_hidden(params: Tree, state: Tree) -> Array:
    """``readout`` of a cell that shows its hidden state as it is."""
    del params
    return state.hidden


def preactivation(z: Array, r: Array, like: Array) -> Array:
    """``z + r`` in the dtype of the state ``like``."""
    return z.astype(like.dtype) + r.astype(like.dtype)


def split_gates(a: Array, gates: int) -> list[Array]:
    """The ``gates`` blocks of the last axis."""
    return jnp.split(a, gates, axis=-1)


def squash(a: Array, gates: int, candidate: int) -> list[Array]:
    """The ``gates`` blocks of the last axis, ``tanh`` of block number ``candidate`` and ``σ`` of all others.

    One sigmoid of the whole, of which the candidate's block goes unused, vectorises on CPUs; three of slices do not.
    """
    blocks = split_gates(sigmoid(a), gates)
    blocks[candidate] = tanh(split_gates(a, gates)[candidate])
    return blocks


def initial_maps(
    params_type: Callable[..., Params],
    hidden_size: int,
    gate_biases: Sequence[float],
    recurrent_init: str | initializers.Initializer,
    dtype: Any,
    feedback_size: int | None = None,
    extra: Callable[[Key], Mapping[str, Array | None]] = lambda key: {},
) -> InitFn[Params]:
    """``init`` of a cell: ``w_x [D, G*H]`` (Glorot), ``w_h [P, G*H]`` (as asked) and ``b [G*H]`` (a constant a gate).

    Each gate's block is drawn on its own, with its own fan-out: a fused matrix would make Glorot's limits too small.

    Args:
        params_type: the NamedTuple to fill.
        hidden_size: H.
        gate_biases: the initial bias of each gate; their number is G.
        recurrent_init: of each gate's block of ``w_h``.
        dtype: of the parameters.
        feedback_size: P, the width that feeds back; H unless given.
        extra: from a key, the fields of ``params_type`` beyond these three, or in their place.
    """
    recurrent = initializers.recurrent_initializer(recurrent_init)
    gates = len(gate_biases)

    def init(key: Key, input_size: int) -> Params:
        check_size("input_size", input_size)
        key, extra_key = jax.random.split(key)
        keys = jax.random.split(key, 2 * gates)
        w_x = [initializers.glorot(k, (input_size, hidden_size), dtype) for k in keys[:gates]]
        w_h = [recurrent(k, (feedback_size or hidden_size, hidden_size), dtype) for k in keys[gates:]]
        b = [jnp.full((hidden_size,), bias, dtype) for bias in gate_biases]
        maps = {"w_x": jnp.concatenate(w_x, axis=1), "w_h": jnp.concatenate(w_h, axis=1), "b": jnp.concatenate(b)}
        return params_type(**{**maps, **extra(extra_key)})

    return init
