"""The usual input layer: a table with a vector for each token."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.registry.cached_factory import cached_factory


@cached_factory
def embedding(param_dtype: Any = jnp.float32) -> InputLayer:
    """A table ``E [V, D]`` whose rows are looked up, ``x_t = E[w_t]`` (Bengio et al. 2003, section 2).

    Entries start as N(0, 1/D), so that a row's norm is about 1.

    Args:
        param_dtype: of the table.
    """

    def init(key: Key, vocab_size: int, embedding_size: int) -> Float[Array, "V D"]:
        table = jax.random.normal(key, (vocab_size, embedding_size), param_dtype)
        return table * np.asarray(embedding_size**-0.5, param_dtype)

    def embed(params: Float[Array, "V D"], ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        return params[as_whole_numbers("ids", ids)]

    def table(params: Float[Array, "V D"]) -> Float[Array, "V D"]:
        return params

    return InputLayer("embedding", init, embed, table, is_table=True)
