"""The last words that were read, as part of a language model's state: for output layers that read them themselves."""

from typing import NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Int, Tree

#: Stands for the words before the first one of a text.
NO_WORD = -1


class StateWithPast(NamedTuple):
    """The state of the cells, and the last P words, the last one first."""

    cell: Tree
    words: Int[Array, "*B P"]


def no_words(batch_shape: tuple[int, ...], length: int) -> Int[Array, "*B P"]:
    """The past of a text that has not begun."""
    return jnp.full((*batch_shape, length), NO_WORD, jnp.int32)


def past_after(words: Int[Array, "*B P"], token: Int[Array, "*B"]) -> Int[Array, "*B P"]:
    """The past after one more token."""
    return jnp.concatenate([token[..., None].astype(jnp.int32), words[..., :-1]], axis=-1)


def past_at_each(words: Int[Array, "B P"], inputs: Int[Array, "T B"]) -> Int[Array, "T B P"]:
    """The past after each input of a window, that input being the first of it; the last of all is the window's own."""
    steps, length = inputs.shape[0], words.shape[-1]
    text = jnp.concatenate([words.T[::-1], inputs.astype(jnp.int32)])
    return jnp.stack([text[length - n : length - n + steps] for n in range(length)], axis=-1)
