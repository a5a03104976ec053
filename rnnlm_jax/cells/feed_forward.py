"""The feed-forward network over a fixed window of words, as a cell whose state holds pending sums."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Key
from rnnlm_jax.arrays.activations import tanh
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.cells import initializers, linear_maps
from rnnlm_jax.cells.cell import Cell, CellSpec, cell_factory, check_batch_shape, check_size
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure
from rnnlm_jax.errors import ArgumentError


@serialized
class FeedForwardParams(NamedTuple):
    """The window's K = n - 1 matrices ``W_0 … W_{n-2}`` side by side, the newest word's first, and the bias ``b_h``."""

    w_x: Float[Array, "D K*H"]
    b_h: Float[Array, " H"]


@serialized
class FeedForwardState(NamedTuple):
    """The hidden layer, and the sums that the words so far contribute to the next J = n - 2 hidden layers.

    Block k of ``pending`` is ``Σ_{j>k} W_j x_{t+k+1-j}``, their part in step ``t + k + 1``; None if n is 2.
    """

    hidden: Float[Array, "*B H"]
    pending: Float[Array, "*B J*H"] | None


@cell_factory
def feed_forward(
    hidden_size: int,
    order: int = 5,
    *,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> Cell[FeedForwardParams, FeedForwardState]:
    """Return the hidden layer of the feed-forward n-gram network (Bengio et al. 2003, section 2, eq. 1).

        h_t = tanh(b + Σ_{k=0}^{n-2} W_k x_{t-k})

    It predicts a word from the n - 1 words before it only. All products ``W_k x_t`` are one input projection; a step
    adds and shifts sums, without a recurrent projection. Words before the first, or before a reset, count as
    zeros. The paper's direct connections from the window to the output are left out.

    Args:
        hidden_size: H.
        order: n of the n-gram: 5 reads the last four words.
        dtype: dtype of the matrix products; ``param_dtype`` unless given.
        param_dtype: dtype of parameters and state.

    Raises:
        ArgumentError: for an order below 2, or a size that is not positive.
    """
    hidden_size = check_size("hidden_size", hidden_size)
    if isinstance(order, bool) or not isinstance(order, int) or order < 2:
        raise ArgumentError(f"`order` must be a whole number of at least 2, not {order!r}: 2 reads one word, a bigram")
    words = order - 1

    def init(key: Key, input_size: int) -> FeedForwardParams:
        check_size("input_size", input_size)
        window = initializers.glorot(key, (input_size * words, hidden_size), param_dtype)  # one matrix to the units
        w_x = window.reshape(words, input_size, hidden_size).swapaxes(0, 1).reshape(input_size, words * hidden_size)
        return FeedForwardParams(w_x, jnp.zeros((hidden_size,), param_dtype))

    def initial_state(batch_shape: tuple[int, ...]) -> FeedForwardState:
        def zeros(blocks: int) -> Array:
            return jnp.zeros((*check_batch_shape(batch_shape), blocks * hidden_size), param_dtype)

        return FeedForwardState(zeros(1), zeros(words - 1) if words > 1 else None)

    def input_projection(params: FeedForwardParams, x: Array) -> Array:
        return linear_maps.product(x, params.w_x, dtype)

    def update(params: FeedForwardParams, state: FeedForwardState, z: Array, r: Array) -> FeedForwardState:
        del r
        b_h = over_batch(params.b_h, state.hidden)
        newest, older = jnp.split(z.astype(param_dtype), [hidden_size], axis=-1)
        if state.pending is None:
            return FeedForwardState(tanh(newest + b_h), None)
        due, later = jnp.split(state.pending, [hidden_size], axis=-1)
        later = jnp.concatenate([later, jnp.zeros_like(due)], axis=-1)
        return FeedForwardState(tanh(newest + due + b_h), older + later)

    return Cell(
        spec=CellSpec("feed-forward", hidden_size, hidden_size, dtype, param_dtype, (("order", order),)),
        init=init,
        initial_state=initial_state,
        input_projection=input_projection,
        recurrent_projection=linear_maps.no_recurrent_projection,
        update=update,
        readout=linear_maps.read_hidden,
    ).with_facts(CellFacts(jacobian=JacobianStructure.BLOCK, recurrent_matrices=()))
