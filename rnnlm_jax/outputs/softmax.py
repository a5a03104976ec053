"""The full softmax over the vocabulary."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.outputs.cross_entropy import cross_entropy
from rnnlm_jax.outputs.output_layer import OutputLayer


class SoftmaxParams(NamedTuple):
    """The output matrix (None where it is the embedding, transposed) and its bias."""

    w: Float[Array, "H V"] | None
    b: Float[Array, " V"]


@functools.cache
def softmax(tied: bool = False, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32) -> OutputLayer:
    """The full softmax, ``log P(v | h) = a_v - log Σ_u exp(a_u)`` with ``a = h W + b`` (Bengio et al. 2003, section 2).

    Args:
        tied: whether ``w`` is left out of the parameters, the embedding taking its place (Press & Wolf 2017).
        dtype: of the product; the logits and all that follows are in ``param_dtype``.
        param_dtype: of the parameters.
    """

    def init(key: Key, hidden_size: int, vocab_size: int) -> SoftmaxParams:
        w = None if tied else jax.nn.initializers.glorot_uniform()(key, (hidden_size, vocab_size), param_dtype)
        return SoftmaxParams(w, jnp.zeros((vocab_size,), param_dtype))

    def logits(params: SoftmaxParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        assert params.w is not None, "tied weights are filled in by the language model"
        return (h.astype(dtype) @ params.w.astype(dtype)).astype(param_dtype) + params.b

    def nats(params: SoftmaxParams, hs: Float[Array, "*B H"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
        # Two axes, not three: the products are faster, forward and backward.
        rows = logits(params, hs.reshape(-1, hs.shape[-1]))
        return cross_entropy(rows, targets.reshape(-1)).reshape(targets.shape)

    def log_probs(params: SoftmaxParams, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        return jax.nn.log_softmax(logits(params, h), axis=-1)

    return OutputLayer("softmax", init, nats, log_probs)
