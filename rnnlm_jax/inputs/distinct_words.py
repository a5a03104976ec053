"""Vectors of the words of a batch, each distinct word composed once, long words with long words."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.array_types import Array, Float, Int
from rnnlm_jax.inputs.spellings import Spellings

#: Words composed at a time. Fewer make products slow, more compose words for nothing; 64 and 256 are no faster.
WORDS = 128

ComposeFn = Callable[[Array, Array], Array]  # (symbols[N, L], lengths[N], falling) -> vectors[N, D]


def each_distinct_word(
    compose: ComposeFn, spellings: Spellings, ids: Int[Array, "*B"], size: int, dtype: Any
) -> Float[Array, "*B D"]:
    """``compose`` of every id's spelling, at the cost of the distinct words among them.

    The words are sorted by falling length and composed ``WORDS`` at a time, so that words of about one length are
    together, and runs of slots that no word fills are passed over. Where a batch has more tokens than the vocabulary,
    all words are composed. What ``compose`` keeps for its derivative is computed again on the way back, a run at a
    time: memory does not grow with the number of words.

    Args:
        compose: the vectors of some words, the longest of which comes first; a slot of length 0 may get any.
        spellings: of all tokens.
        ids: the tokens.
        size: D, of the vectors.
        dtype: of the vectors.
    """
    flat = ids.reshape(-1)
    if not flat.size:
        return jnp.zeros((*ids.shape, size), dtype)
    words, lengths, slots = _all_words(spellings, flat) if flat.size >= spellings.size else _some(spellings, flat)
    run = min(WORDS, words.size)
    padding = (0, -words.size % run)
    words, lengths = jnp.pad(words, padding).reshape(-1, run), jnp.pad(lengths, padding).reshape(-1, run)
    table = jnp.asarray(spellings.table)

    def none(words: Array, lengths: Array) -> Array:
        del words, lengths
        return jnp.zeros((run, size), dtype)

    @functools.partial(jax.checkpoint, prevent_cse=False)  # a loop's body: nothing to merge with
    def some(words: Array, lengths: Array) -> Array:
        return compose(table[words].astype(jnp.int32), lengths)

    def body(carry: None, of_run: tuple[Array, Array]) -> tuple[None, Array]:
        return carry, jax.lax.cond(of_run[1][0] > 0, some, none, *of_run)

    _, vectors = jax.lax.scan(body, None, (words, lengths))
    return vectors.reshape(-1, size)[slots].reshape(*ids.shape, size)


def _all_words(spellings: Spellings, flat: Int[Array, " N"]) -> tuple[Array, Array, Array]:
    """Every word by falling length, the lengths, and the slot of each id among them."""
    words = np.argsort(-spellings.lengths, kind="stable")
    slots = np.argsort(words, kind="stable").astype(np.int32)
    return jnp.asarray(words.astype(np.int32)), jnp.asarray(spellings.lengths[words]), jnp.asarray(slots)[flat]


def _some(spellings: Spellings, flat: Int[Array, " N"]) -> tuple[Array, Array, Array]:
    """The distinct words among the ids, as ``_all_words`` has them; slots beyond them have length 0."""
    words, inverse = jnp.unique(flat, size=flat.size, fill_value=0, return_inverse=True)
    found = jnp.arange(flat.size, dtype=inverse.dtype) <= inverse.max()
    lengths = jnp.where(found, jnp.asarray(spellings.lengths)[words], 0)
    order = jnp.argsort(-lengths)
    return words[order], lengths[order], jnp.argsort(order)[inverse.reshape(-1)]
