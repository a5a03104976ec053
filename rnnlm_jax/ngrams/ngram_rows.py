"""N-grams given as rows of words, in any order, become the levels of a model."""

from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.errors import DataError
from rnnlm_jax.ngrams.backoff_model import Level, find_ngrams, values_at
from rnnlm_jax.ngrams.ngram_counts import NO_NGRAM


class NgramRows(NamedTuple):
    """The n-grams of one order k; id V is ``<s>``."""

    words: Int[np.ndarray, "n k"]
    log_prob: Float[np.ndarray, "n"]  # NaN: to be what the shorter n-grams make of it
    log_backoff: Float[np.ndarray, "n"]


class _Missing(Exception):
    """Contexts of an order that stand in no row."""

    def __init__(self, words: np.ndarray):
        self.words = words


def levels_from_rows(rows: list[NgramRows], vocab_size: int, name: str) -> tuple[Level, ...]:
    """Levels of a model, numbered by key.

    Pruned models may lack a context of their n-grams; it is put in with the probability that it has by backing off and
    with weight 1, which changes no probability.

    Args:
        rows: one an order; order 1 has each of the V words once, and may have ``<s>``.
        vocab_size: V.
        name: what messages call the model.

    Raises:
        DataError: if an n-gram stands there twice.
    """
    rows = [rows[0], *(_without_inner_starts(each, vocab_size) for each in rows[1:])]
    while True:
        try:
            levels = _numbered(rows, vocab_size, name)
        except _Missing as missing:
            words = np.unique(missing.words, axis=0)
            k = words.shape[1] - 1
            more = (words, np.full(len(words), np.nan), np.zeros(len(words)))
            rows[k] = NgramRows(*(np.concatenate(both) for both in zip(rows[k], more, strict=True)))
        else:
            return _filled(levels, vocab_size)


def _without_inner_starts(rows: NgramRows, vocab_size: int) -> NgramRows:
    """Without n-grams that have ``<s>`` beyond their first word, which nothing ever asks for."""
    kept = (rows.words[:, 1:] != vocab_size).all(axis=1)
    return rows if kept.all() else NgramRows(*(array[kept] for array in rows))


def _numbered(rows: list[NgramRows], vocab_size: int, name: str) -> list[Level]:
    log_prob, log_backoff = np.full(vocab_size + 1, -np.inf), np.zeros(vocab_size + 1)
    log_prob[rows[0].words[:, 0]] = rows[0].log_prob
    log_backoff[rows[0].words[:, 0]] = rows[0].log_backoff
    log_prob[vocab_size] = -np.inf  # <s> is never predicted
    levels = [Level(np.arange(vocab_size + 1), log_prob, log_backoff)]
    for words, log_prob, log_backoff in rows[1:]:
        contexts = _numbers(levels, words[:, :-1], vocab_size)
        if (contexts == NO_NGRAM).any():
            raise _Missing(words[contexts == NO_NGRAM, :-1])
        keys = contexts.astype(np.int64) * vocab_size + words[:, -1]
        order = np.argsort(keys)
        keys = keys[order]
        if (keys[1:] == keys[:-1]).any():
            raise DataError(f"{name} has some {words.shape[1]}-gram twice: an ARPA file holds each n-gram once")
        levels.append(Level(keys, log_prob[order], log_backoff[order]))
    return levels


def _numbers(levels: list[Level], words: np.ndarray, vocab_size: int) -> np.ndarray:
    found = words[:, 0]
    for level, column in zip(levels[1:], words.T[1:], strict=False):
        found = find_ngrams(level, found, column, vocab_size)
    return found


def _filled(levels: list[Level], vocab_size: int) -> tuple[Level, ...]:
    """Levels without NaN: what was put in gets ``b(context) · P(word | shorter context)``, lower orders first."""
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
    """``ln P`` of the last word of each row ``[R, k]`` after the k − 1 before it, by levels below k."""
    scores = levels[0].log_prob[words[:, -1]]
    for length in range(2, len(levels) + 2):
        contexts = _numbers(levels, words[:, -length:-1], vocab_size)
        scores = scores + values_at(levels[length - 2].log_backoff, contexts, 0.0)
        if length <= len(levels):
            found = find_ngrams(levels[length - 1], contexts, words[:, -1], vocab_size)
            scores = values_at(levels[length - 1].log_prob, found, scores)
    return scores
