"""The full softmax over the vocabulary."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_floats, as_whole_numbers
from rnnlm_jax.arrays.broadcasting import over_batch
from rnnlm_jax.arrays.matrix_flops import matrix_flops
from rnnlm_jax.arrays.serialized_types import serialized
from rnnlm_jax.outputs.affine_cross_entropy import affine_nats
from rnnlm_jax.outputs.output_layer import OutputLayer
from rnnlm_jax.outputs.training_loss import weighted_nats
from rnnlm_jax.registry.cached_factory import cached_factory


@serialized
class SoftmaxParams(NamedTuple):
    """The output matrix and its bias.

    Where weights are tied the matrix is not a parameter, but None; the layer is called with the embedding ``[V, D]`` in
    its place.
    """

    w: Float[Array, "H V"] | Float[Array, "V H"] | None
    b: Float[Array, " V"]


@cached_factory
def softmax(tied: bool = False, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32) -> OutputLayer:
    """The full softmax, ``log P(v | h) = a_v - log Σ_u exp(a_u)`` with ``a = h W + b`` (Bengio et al. 2003, section 2).

    Args:
        tied: whether the embedding takes the place of ``w`` (Press & Wolf 2017).
        dtype: dtype of the product; logits and what follows are in ``param_dtype``.
        param_dtype: dtype of the parameters.
    """

    def init(key: Key, hidden_size: int, vocab_size: int) -> SoftmaxParams:
        w = None if tied else jax.nn.initializers.glorot_uniform()(key, (hidden_size, vocab_size), param_dtype)
        return SoftmaxParams(w, jnp.zeros((vocab_size,), param_dtype))

    def operands(params: SoftmaxParams, h: Float[Array, "*B H"]) -> tuple[Array, Array, Array]:
        assert params.w is not None, "the language model fills tied weights in"
        # Products of two axes are faster than of three, forward and backward.
        return h.reshape(-1, h.shape[-1]).astype(dtype), params.w.astype(dtype), params.b

    def nats(params: SoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        ones = jnp.ones((targets.size,), param_dtype)
        return affine_nats(*operands(params, hs), targets.reshape(-1), ones, by_word=tied).reshape(targets.shape)

    def total_nats(
        params: SoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"], weights: Float[Array, "*B"]
    ) -> Float[Array, ""]:
        hs, targets = as_floats("hs", hs, param_dtype), as_whole_numbers("targets", targets)
        rows = as_floats("weights", weights, param_dtype).astype(param_dtype).reshape(-1)
        return weighted_nats(*operands(params, hs), targets.reshape(-1), rows, by_word=tied)

    def log_probs(params: SoftmaxParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        h = as_floats("h", h, param_dtype)
        rows, w, b = operands(params, h)
        products = (rows @ (w.T if tied else w)).astype(param_dtype)
        return jax.nn.log_softmax(products + over_batch(b, products), axis=-1).reshape(*h.shape[:-1], -1)

    def flops(params: SoftmaxParams, word_probabilities: Float[np.ndarray, " V"]) -> float:
        del word_probabilities  # every word costs the same
        return float(matrix_flops(params.w))

    return OutputLayer(
        kind="softmax",
        init=init,
        nats=nats,
        total_nats=total_nats,
        log_probs=log_probs,
        nats_gradient=True,
        flops=flops,
        word_axes={"b": 0} if tied else {"w": 1, "b": 0},
        rows_by_id=True,
    )
