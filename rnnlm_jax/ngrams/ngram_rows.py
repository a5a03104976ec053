"""Convert n-grams given as rows of words, in any order, to the levels of a backoff model."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.backoff_model import Level, find_ngrams, values_at
from rnnlm_jax.ngrams.ngram_counts import NO_NGRAM


class NgramRows(NamedTuple):
    """The n-grams of one order k; id V is ``<s>``."""

    words: Int[np.ndarray, "n k"]
    log_prob: Float[np.ndarray, "n"]  # NaN: to be computed from shorter n-grams
    log_backoff: Float[np.ndarray, "n"]


class _Missing(Exception):
    """Contexts of n-grams that are not n-grams of the order below themselves."""

    def __init__(self, words: np.ndarray):
        self.words = words


def levels_from_rows(rows: list[NgramRows], vocab_size: int, name: str) -> tuple[Level, ...]:
    """Return the levels of a model.

    In a pruned model the context of an n-gram may be missing; it is inserted with the probability that it has by
    backing off and with backoff weight 1, which does not change any probability.

    Args:
        rows: rows of each order; order 1 has each of the V words once, and may have ``<s>``.
        vocab_size: V.
        name: name of the model in error messages.

    Raises:
        DataError: an n-gram occurs twice.
    """
    rows = [rows[0], *(_without_inner_bos(each, vocab_size) for each in rows[1:])]
    while True:
        try:
            levels = _sorted_levels(rows, vocab_size, name)
        except _Missing as missing:
            words = np.unique(missing.words, axis=0)
            k = words.shape[1] - 1
            inserted = (words, np.full(len(words), np.nan), np.zeros(len(words)))
            rows[k] = NgramRows(*(np.concatenate(both) for both in zip(rows[k], inserted, strict=True)))
        else:
            return _fill_inserted(levels, vocab_size)


def _without_inner_bos(rows: NgramRows, vocab_size: int) -> NgramRows:
    """Return rows without n-grams that have ``<s>`` after their first word, which are never used."""
    kept = (rows.words[:, 1:] != vocab_size).all(axis=1)
    return rows if kept.all() else NgramRows(*(array[kept] for array in rows))


def _sorted_levels(rows: list[NgramRows], vocab_size: int, name: str) -> list[Level]:
    log_prob, log_backoff = np.full(vocab_size + 1, -np.inf), np.zeros(vocab_size + 1)
    log_prob[rows[0].words[:, 0]] = rows[0].log_prob
    log_backoff[rows[0].words[:, 0]] = rows[0].log_backoff
    log_prob[vocab_size] = -np.inf  # <s> is never predicted
    levels = [Level(np.arange(vocab_size + 1), log_prob, log_backoff)]
    for words, log_prob, log_backoff in rows[1:]:
        contexts = _context_numbers(levels, words[:, :-1], vocab_size)
        if (contexts == NO_NGRAM).any():
            raise _Missing(words[contexts == NO_NGRAM, :-1])
        keys = contexts.astype(np.int64) * vocab_size + words[:, -1]
        order = np.argsort(keys)
        keys = keys[order]
        if (keys[1:] == keys[:-1]).any():
            raise DataError(f"{name} has some {words.shape[1]}-gram twice: an ARPA file has each n-gram once")
        levels.append(Level(keys, log_prob[order], log_backoff[order]))
    return levels


def _context_numbers(levels: list[Level], words: np.ndarray, vocab_size: int) -> np.ndarray:
    found = words[:, 0]
    for level, column in zip(levels[1:], words.T[1:], strict=False):
        found = find_ngrams(level, found, column, vocab_size=vocab_size)
    return found


def _fill_inserted(levels: list[Level], vocab_size: int) -> tuple[Level, ...]:
    """Replace the NaN of inserted n-grams by ``b(context) · P(word | shorter context)``, lower orders first."""
    for k, level in enumerate(levels):
        (holes,) = np.nonzero(np.isnan(level.log_prob))
        if not holes.size:
            continue
        columns, numbers = [], holes
        for lower in levels[k:0:-1]:
            columns.append(lower.keys[numbers] % vocab_size)
            numbers = lower.keys[numbers] // vocab_size
        words = np.stack([numbers, *columns[::-1]], axis=-1)
        levels[k].log_prob[holes] = _backed_off(levels[:k], words, vocab_size)
    return tuple(levels)


def _backed_off(levels: list[Level], words: np.ndarray, vocab_size: int) -> np.ndarray:
    """Return ``ln P`` of the last word of each row ``[R, k]`` given the k − 1 before it, by levels below k."""
    scores = levels[0].log_prob[words[:, -1]]
    for length in range(2, len(levels) + 2):
        contexts = _context_numbers(levels, words[:, -length:-1], vocab_size)
        scores = scores + values_at(levels[length - 2].log_backoff, contexts, 0.0)
        if length <= len(levels):
            found = find_ngrams(levels[length - 1], contexts, words[:, -1], vocab_size=vocab_size)
            scores = values_at(levels[length - 1].log_prob, found, scores)
    return scores
