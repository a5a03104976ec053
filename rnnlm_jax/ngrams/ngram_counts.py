"""How often each n-gram of a text occurs, for any order, exactly.

An n-gram of order k is the pair of the n-gram without its last word, its context, and that word. Numbering the n-grams
of each order, a context is a number, and the pair is packed into one integer, ``key = context · V + word``. Sorted keys
of an order are its n-grams, and a place among them is an n-gram's number. All places of a text go from one order to the
next at once: the n-gram of order k that ends at place t has the context that ends at t − 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int

#: The number of no n-gram.
NO_NGRAM = -1


class NgramCounts(NamedTuple):
    """The n types of one order, in the order of their keys.

    For order 1 the types are all words by their id, seen or not, and ``V`` for ``<s>``, which counts 0: it is a
    context, and never predicted.
    """

    keys: Int[np.ndarray, "n"]  # int64, context · V + word
    counts: Int[np.ndarray, "n"]  # occurrences, int32 while they fit
    suffixes: Int[np.ndarray, "n"]  # the number of the n-gram without its first word, among those of the order below


def insert_bos(tokens: Int[np.ndarray, "N"], vocab_size: int, eos_id: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The text with one ``<s>`` (id V) before each sentence, and the places of its tokens there.

    A sentence ends with each end-of-line token. A text without such tokens is one sentence.

    Returns:
        the padded text, int32 ``[N + S]``, and the place of each token in it, int64 ``[N]``.
    """
    first = np.zeros(tokens.size, bool)
    first[:1] = True
    if eos_id is not None:
        first[1:] = tokens[:-1] == eos_id
    places = np.arange(tokens.size) + np.cumsum(first)
    padded = np.full(int(places[-1]) + 1 if tokens.size else 0, vocab_size, np.int32)
    padded[places] = tokens
    return padded, places


def count_ngrams(
    tokens: Int[np.ndarray, "N"],
    vocab_size: int,
    eos_id: int | None,
    order: int,
    progress: Callable[[int], object] = lambda tokens: None,
) -> list[NgramCounts]:
    """Count the n-grams of orders 1 to ``order``, none of which reaches over the start of a sentence.

    Args:
        tokens: the text.
        vocab_size: V.
        eos_id: the token that ends a sentence, if there is one.
        order: the longest n-grams.
        progress: told the number of tokens each time that an order is counted.

    Returns:
        one table an order; it takes O(N log N) time an order, and memory for a few copies of the text.
    """
    padded, _ = insert_bos(np.asarray(tokens), vocab_size, eos_id)
    # Numbers of the n-grams that end at each place: words to begin with.
    ending = padded.astype(np.int32 if padded.size + vocab_size < 2**31 else np.int64)
    counts = np.bincount(padded, minlength=vocab_size + 1).astype(ending.dtype)
    counts[vocab_size] = 0
    tables = [NgramCounts(np.arange(vocab_size + 1), counts, np.zeros(vocab_size + 1, ending.dtype))]
    progress(len(tokens))
    words = np.flatnonzero(padded[1:] != vocab_size) + 1
    for _ in range(2, order + 1):
        places = words[ending[words - 1] != NO_NGRAM]
        keys = ending[places - 1].astype(np.int64) * vocab_size + padded[places]
        types, counts, one_place, numbers = _types(keys)
        tables.append(NgramCounts(types, counts.astype(ending.dtype), ending[places[one_place]]))
        ending = np.full_like(ending, NO_NGRAM)
        ending[places] = numbers
        words = places
        progress(len(tokens))
    return tables


def _types(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sorted types, how often each occurs, an index where it does, and the number of the type of each key.

    ``np.unique`` would do it with a stable sort, which takes twice as long.
    """
    order = np.argsort(keys)
    by_size = keys[order]
    new = np.ones(keys.size, bool)
    np.not_equal(by_size[1:], by_size[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    numbers = np.empty(keys.size, np.int64)
    numbers[order] = np.cumsum(new) - 1
    return by_size[starts], np.diff(starts, append=keys.size), order[starts], numbers
