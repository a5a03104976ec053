"""The usual input layer: a table with a vector for each token, or no vectors for cells that read nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int, Key, Tree
from rnnlm_jax.arrays.array_arguments import as_whole_numbers
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.registry.cached_factory import cached_factory


@cached_factory
def embedding(param_dtype: Any = jnp.float32) -> InputLayer:
    """A table ``E [V, D]`` whose rows are looked up, ``x_t = E[w_t]`` (Bengio et al. 2003, section 2).

    Entries are drawn from N(0, 1/D), so that a row's norm is about 1.

    Args:
        param_dtype: dtype of the table.
    """

    def init(key: Key, vocab_size: int, embedding_size: int) -> Float[Array, "V D"]:
        table = jax.random.normal(key, (vocab_size, embedding_size), param_dtype)
        return table * np.asarray(embedding_size**-0.5, param_dtype)

    def embed(params: Float[Array, "V D"], ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        return params[as_whole_numbers("ids", ids)]

    def table(params: Float[Array, "V D"]) -> Float[Array, "V D"]:
        return params

    return InputLayer("embedding", init, embed, table, is_table=True, flops=_no_products, word_axes={"": 0})


@cached_factory
def no_input(param_dtype: Any = jnp.float32) -> InputLayer:
    """An input layer without parameters, whose vectors have no entries, for cells without units.

    Args:
        param_dtype: dtype of the empty vectors.
    """

    def init(key: Key, vocab_size: int, embedding_size: int) -> None:
        del key, vocab_size, embedding_size

    def embed(params: None, ids: Int[Array, "*B"]) -> Float[Array, "*B 0"]:
        del params
        return jnp.zeros((*as_whole_numbers("ids", ids).shape, 0), param_dtype)

    def table(params: None) -> Float[Array, "1 0"]:
        del params
        return jnp.zeros((1, 0), param_dtype)

    return InputLayer("none", init, embed, table, flops=_no_products, word_axes={})


def _no_products(params: Tree, word_probabilities: Float[np.ndarray, " V"], tokens: int) -> float:
    del params, word_probabilities, tokens
    return 0.0
