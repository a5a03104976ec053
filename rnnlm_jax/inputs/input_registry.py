"""Every input layer by name, with the paper that it is from."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from rnnlm_jax.errors import DataError
from rnnlm_jax.inputs.char_cnn import char_cnn
from rnnlm_jax.inputs.embedding import embedding
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.registry.registry import Entry, Registry

#: Every input layer by name, with its source; options of a factory are options of the command line.
INPUTS: Registry[InputLayer] = Registry(
    "input",
    InputLayer,
    {
        "embedding": Entry(embedding, "Bengio et al. 2003"),
        "char-cnn": Entry(char_cnn, "Kim et al. 2016; Jozefowicz et al. 2016"),
    },
    supplied=("tokens", "dtype", "param_dtype"),
)


def make(
    name: str,
    tokens: Sequence[str] | None = None,
    *,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
    **options: Any,
) -> InputLayer:
    """Return the input layer of a name.

    Args:
        name: one of ``names()``.
        tokens: the vocabulary's tokens by id, for a layer that reads spellings.
        dtype: dtype of the matrix products.
        param_dtype: dtype of the parameters and of the vectors.
        **options: options of the layer, see its factory.

    Raises:
        ArgumentError: for an unknown name or option, or a value that the layer does not accept.
        DataError: if the layer reads spellings and tokens are missing.
    """
    if tokens is None and INPUTS.find(name).requires("tokens"):
        raise DataError(f"input {name!r} reads how words are written, which this run has not kept: train it again")
    types = {"dtype": jnp.dtype(dtype), "param_dtype": jnp.dtype(param_dtype)}
    return INPUTS.make(name, options, tokens=tokens, **types)


def names() -> tuple[str, ...]:
    """Return the names of all input layers."""
    return INPUTS.names()
