"""Vectors of the words of a batch: each distinct word is composed once, together with words of similar length."""

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.arrays.sparse_rows import UNUSED, unique_ids
from rnnlm_jax.inputs.spellings import Spellings

#: Words composed at a time. With fewer the products are slow, with more words are composed in vain; 64 and 256 are not
#: faster.
GROUP = 128


class ComposeFn(Protocol):
    """Computes the vectors of words from their spellings."""

    def __call__(self, symbols: Int[Array, "N L"], lengths: Int[Array, " N"], /) -> Float[Array, "N D"]:
        """Return the vectors of N words.

        Args:
            symbols: spellings.
            lengths: lengths of the spellings, the longest first; the vector of a word of length 0 is not used.
        """
        ...


def each_distinct_word(
    compose: ComposeFn, spellings: Spellings, ids: Int[Array, "*B"], *, size: int, dtype: Any
) -> Float[Array, "*B D"]:
    """Return the vector of every id, calling ``compose`` only for the distinct words among them.

    The words are sorted by falling length and composed ``GROUP`` at a time, so that words of similar length are
    together; groups without a word are skipped. Where a batch has at least as many tokens as the vocabulary, all words
    are composed. The backward pass recomputes ``compose`` one group at a time: memory does not grow with the number of
    words.

    Args:
        compose: computes the vectors of some words.
        spellings: spellings of all tokens.
        ids: token ids.
        size: D, entries of a vector.
        dtype: dtype of the vectors.
    """
    flat = ids.reshape(-1)
    if not flat.size:
        return jnp.zeros((*ids.shape, size), dtype)
    sorted_words = _all_words if flat.size >= spellings.size else _distinct_words
    words, lengths, positions = sorted_words(spellings, flat)
    group = min(GROUP, words.size)
    padding = (0, -words.size % group)
    words, lengths = jnp.pad(words, padding).reshape(-1, group), jnp.pad(lengths, padding).reshape(-1, group)
    table = jnp.asarray(spellings.table)

    def skip(words: Array, lengths: Array) -> Array:
        del words, lengths
        return jnp.zeros((group, size), dtype)

    @functools.partial(jax.checkpoint, prevent_cse=False)  # a loop's body: nothing to merge with
    def compose_group(words: Array, lengths: Array) -> Array:
        return compose(table[words].astype(jnp.int32), lengths)

    def body(carry: None, group: tuple[Array, Array]) -> tuple[None, Array]:
        return carry, jax.lax.cond(group[1][0] > 0, compose_group, skip, *group)

    _, vectors = jax.lax.scan(body, None, (words, lengths))
    return vectors.reshape(-1, size)[positions].reshape(*ids.shape, size)


def _all_words(spellings: Spellings, flat: Int[Array, " N"]) -> tuple[Array, Array, Array]:
    """Return all words by falling length, their lengths, and the position of each id among them."""
    words = np.argsort(-spellings.lengths, kind="stable")
    positions = np.argsort(words, kind="stable").astype(np.int32)
    return jnp.asarray(words.astype(np.int32)), jnp.asarray(spellings.lengths[words]), jnp.asarray(positions)[flat]


def _distinct_words(spellings: Spellings, flat: Int[Array, " N"]) -> tuple[Array, Array, Array]:
    """Return the same of the distinct words among the ids, padded to N by words of length 0."""
    words, inverse = unique_ids(flat, flat.size)
    used = words != UNUSED
    words = jnp.where(used, words, 0)
    lengths = jnp.where(used, jnp.asarray(spellings.lengths)[words], 0)
    order = jnp.argsort(-lengths)
    return words[order], lengths[order], jnp.argsort(order)[inverse]
