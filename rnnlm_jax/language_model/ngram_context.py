"""The last words that were read, as part of a language model's state, for output layers that read words themselves."""

from typing import NamedTuple

import jax.numpy as jnp

from rnnlm_jax.array_types import Array, Bool, Int, Tree

#: Stands for the words before the first word of a text.
NO_WORD = -1


class StateWithContext(NamedTuple):
    """The state of the cells, and the last P words, the last one first."""

    cell: Tree
    words: Int[Array, "*B P"]


def empty_context(batch_shape: tuple[int, ...], size: int) -> Int[Array, "*B P"]:
    """Return the context before the first word of a text."""
    return jnp.full((*batch_shape, size), NO_WORD, jnp.int32)


def context_after(words: Int[Array, "*B P"], token: Int[Array, "*B"]) -> Int[Array, "*B P"]:
    """Return the context after one more token."""
    return jnp.concatenate([token[..., None].astype(jnp.int32), words[..., :-1]], axis=-1)


def context_at_each_step(words: Int[Array, "*B P"], inputs: Int[Array, "T *B"]) -> Int[Array, "T *B P"]:
    """Return the context after each input of a segment, that input being its first word.

    Args:
        words: context before the segment.
        inputs: token ids.
    """
    steps, size = inputs.shape[0], words.shape[-1]
    text = jnp.concatenate([words.T[::-1], inputs.astype(jnp.int32)])
    return jnp.stack([text[size - n : size - n + steps] for n in range(size)], axis=-1)


def context_at_end(
    before: Int[Array, "*B P"], words: Int[Array, "T *B P"], mask: Bool[Array, "T *B"]
) -> Int[Array, "*B P"]:
    """Return the context after the last step that counts, that before the segment where none does.

    Args:
        before: context before the segment.
        words: context after each input, as ``context_at_each_step`` returns it.
        mask: which steps count, the leading ones of each sequence.
    """
    counted = mask.sum(axis=0, dtype=jnp.int32)
    all_words = jnp.concatenate([before[None], words])
    return jnp.take_along_axis(all_words, counted[None, ..., None], axis=0)[0]
