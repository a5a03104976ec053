"""No vectors: for a model whose cells read nothing."""

from typing import Any

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.registry.cached_factory import cached_factory


@cached_factory
def no_input(param_dtype: Any = jnp.float32) -> InputLayer:
    """An input layer without parameters, whose vectors have no entries.

    Args:
        param_dtype: of the empty vectors.
    """

    def init(key: Key, vocab_size: int, embedding_size: int) -> None:
        del key, vocab_size, embedding_size

    def embed(params: None, ids: Int[Array, "*B"]) -> Float[Array, "*B 0"]:
        del params
        return jnp.zeros((*as_whole_numbers("ids", ids).shape, 0), param_dtype)

    def table(params: None) -> Float[Array, "1 0"]:
        del params
        return jnp.zeros((1, 0), param_dtype)

    return InputLayer("none", init, embed, table)
