"""Exact counts of the n-grams of a text, for any order.

An n-gram of order k is a context, the n-gram of order k − 1 without the last word, and that word. N-grams of each order
are numbered, so an n-gram is one integer, ``key = context · V + word``; its number is its index among the sorted keys
of its order. All positions of a text are counted at once, order by order: the n-gram of order k that ends at position t
has as its context the n-gram of order k − 1 that ends at t − 1.
"""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Int
from rnnlm_jax.data import Progress, no_progress
from rnnlm_jax.ngrams.unique_keys import unique_keys

#: In place of an n-gram's number: no such n-gram.
NO_NGRAM = -1


class NgramCounts(NamedTuple):
    """The n distinct n-grams of one order, sorted by key.

    Those of order 1 are all words by id, seen or not, and ``<s>`` with id V and count 0: it is a context, and never
    predicted.
    """

    keys: Int[np.ndarray, "n"]  # int64, context · V + word
    counts: Int[np.ndarray, "n"]  # occurrences, int32 while they fit
    suffixes: Int[np.ndarray, "n"]  # number, in the order below, of the n-gram without its first word


def insert_bos(tokens: Int[np.ndarray, "N"], vocab_size: int, eos_id: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Insert ``<s>`` (id V) before each of the S sentences of a text.

    A sentence ends with each end-of-line token. A text without such tokens is one sentence.

    Returns:
        The text with ``<s>``, int32 ``[N + S]``, and the position of each token in it, int64 ``[N]``.
    """
    first = np.zeros(tokens.size, bool)
    first[:1] = True
    if eos_id is not None:
        first[1:] = tokens[:-1] == eos_id
    positions = np.arange(tokens.size) + np.cumsum(first)
    padded = np.full(int(positions[-1]) + 1 if tokens.size else 0, vocab_size, np.int32)
    padded[positions] = tokens
    return padded, positions


def count_ngrams(
    tokens: Int[np.ndarray, "N"],
    vocab_size: int,
    eos_id: int | None,
    *,
    order: int,
    progress: Progress = no_progress,
) -> list[NgramCounts]:
    """Count the n-grams of orders 1 to ``order`` within sentences.

    Args:
        tokens: the text.
        vocab_size: V.
        eos_id: id of the end-of-line token, or None.
        order: length of the longest n-grams.
        progress: called with the number of tokens after each order.

    Returns:
        One table for each order. Takes O(N log N) time for each, and memory for a few copies of the text.
    """
    padded, _ = insert_bos(np.asarray(tokens), vocab_size, eos_id)
    # Number of the n-gram that ends at each position; at first the words.
    ending = padded.astype(np.int32 if padded.size + vocab_size < 2**31 else np.int64)
    counts = np.bincount(padded, minlength=vocab_size + 1).astype(ending.dtype)
    counts[vocab_size] = 0
    tables = [NgramCounts(np.arange(vocab_size + 1), counts, np.zeros(vocab_size + 1, ending.dtype))]
    progress(len(tokens))
    words = np.flatnonzero(padded[1:] != vocab_size) + 1
    for _ in range(2, order + 1):
        positions = words[ending[words - 1] != NO_NGRAM]
        found = unique_keys(ending[positions - 1].astype(np.int64) * vocab_size + padded[positions])
        suffixes = ending[positions[found.indices]]
        tables.append(NgramCounts(found.values, found.counts.astype(ending.dtype), suffixes))
        ending = np.full_like(ending, NO_NGRAM)
        ending[positions] = found.inverse
        words = positions
        progress(len(tokens))
    return tables
