"""Every input layer by name: what the command line enumerates."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from rnnlm_jax.errors import UserError
from rnnlm_jax.inputs.char_cnn import char_cnn
from rnnlm_jax.inputs.embedding import embedding
from rnnlm_jax.inputs.input_layer import InputLayer
from rnnlm_jax.inputs.spellings import Spellings

Tokens = Sequence[str] | None


def _embedding(tokens: Tokens, dtype: Any, param_dtype: Any) -> InputLayer:
    del tokens, dtype
    return embedding(param_dtype)


def _char_cnn(tokens: Tokens, dtype: Any, param_dtype: Any, max_length: int = 50, **options: Any) -> InputLayer:
    if tokens is None:
        raise UserError("input 'char-cnn' reads how words are written, which this run has not kept: train it again")
    return char_cnn(Spellings(tokens, max_length), dtype=dtype, param_dtype=param_dtype, **options)


class Entry(NamedTuple):
    """A named input layer: how to make it, and the names of its options."""

    factory: Callable[..., InputLayer]
    options: tuple[str, ...]


INPUTS: dict[str, Entry] = {
    "embedding": Entry(_embedding, ()),
    "char-cnn": Entry(_char_cnn, ("filters", "characters", "highways", "activation", "max_length")),
}


def make(
    kind: str,
    tokens: Tokens = None,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
    **options: Any,
) -> InputLayer:
    """The input layer of that name.

    Args:
        kind: one of ``INPUTS``.
        tokens: the vocabulary's tokens by id, for a layer that reads spellings.
        dtype: of matrix products.
        param_dtype: of parameters and of what the layer gives.
        options: its own, see its factory.

    Raises:
        UserError: for an unknown name, an option that the layer does not have or that cannot be, or missing tokens.
    """
    if kind not in INPUTS:
        raise UserError(f"unknown input {kind!r}: choose one of {', '.join(INPUTS)}")
    known = INPUTS[kind].options
    for option in options:
        if option not in known:
            raise UserError(f"input {kind!r} has no option {option!r}: it has {', '.join(known) or 'none'}")
    return INPUTS[kind].factory(tokens, jnp.dtype(dtype), jnp.dtype(param_dtype), **options)
