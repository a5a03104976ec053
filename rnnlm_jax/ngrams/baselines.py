"""Unigram and bigram models of a token stream, as baselines of trained models."""

import numpy as np

from rnnlm_jax.data.encoded_text import array_chunks
from rnnlm_jax.ngrams.token_ids import checked_ids

#: Number of tokens counted at a time.
_CHUNK = 2**22


class UnigramBaseline:
    """Unigram model with add-one smoothing, ``P(v) = (c(v) + 1) / (N + V)`` (Laplace).

    Args:
        tokens: training text, int ``[N]``.
        vocab_size: V.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        """Count the tokens."""
        counts = np.zeros(vocab_size, np.int64)
        for part in array_chunks(checked_ids(tokens, vocab_size)):
            counts += np.bincount(part, minlength=vocab_size)
        self._set(counts)

    @classmethod
    def of_counts(cls, counts: np.ndarray) -> "UnigramBaseline":
        """Return the model of a text with the given counts of types, ``[V]``."""
        model = cls.__new__(cls)
        model._set(counts)
        return model

    def _set(self, counts: np.ndarray) -> None:
        self.probabilities = (counts + 1) / (counts.sum() + counts.size)

    def nats(self, tokens: np.ndarray) -> np.ndarray:
        """Return ``-ln P(w_t)`` of each token in nats, ``[N]``."""
        return -np.log(self.probabilities[checked_ids(tokens, self.probabilities.size)])


class BigramBaseline:
    """Interpolated absolute discounting over the unigram model (Ney, Essen & Kneser 1994).

        P(w | u) = max(c(u w) - D, 0) / c(u) + D · N(u ·) / c(u) · P(w),    D = n_1 / (n_1 + 2 n_2),

    with ``N(u ·)`` the number of types seen after u, and ``n_k`` the number of bigrams seen k times. If nothing was
    seen after u, ``P(w | u) = P(w)``.

    Args:
        tokens: training text, int ``[N]``.
        vocab_size: V.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        """Count the tokens."""
        self.vocab_size = vocab_size
        tokens = checked_ids(tokens, vocab_size)
        self.unigram = UnigramBaseline(tokens, vocab_size)
        self.keys, self.counts = self._count_bigrams(tokens)
        first = self.keys // vocab_size
        self.followers = np.bincount(first, minlength=vocab_size)
        self.occurrences = np.bincount(first, weights=self.counts, minlength=vocab_size)
        once, twice = np.sum(self.counts == 1), np.sum(self.counts == 2)
        self.discount = once / (once + 2 * twice) if once else 0.5

    def _count_bigrams(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys of the bigrams of a text, ascending, and their counts; in chunks, to bound memory."""
        keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        starts = range(0, max(tokens.size - 1, 0), _CHUNK)
        for start in starts:
            part = tokens[start : start + _CHUNK + 1]
            waiting.append(np.unique(self._keys(part[:-1], part[1:]), return_counts=True))
            if sum(found.size for found, _ in waiting) > max(keys.size, _CHUNK) or start == starts[-1]:
                waiting.append((keys, counts))
                all_keys, weights = (np.concatenate(arrays) for arrays in zip(*waiting, strict=True))
                keys, inverse = np.unique(all_keys, return_inverse=True)
                counts = np.zeros(keys.size, np.int64)
                np.add.at(counts, inverse, weights)
                waiting = []
        return keys, counts

    def _keys(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first.astype(np.int64) * self.vocab_size + second

    def probabilities(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return ``P(second | first)`` elementwise."""
        first, second = checked_ids(first, self.vocab_size), checked_ids(second, self.vocab_size)
        wanted = self._keys(first, second)
        index = np.minimum(np.searchsorted(self.keys, wanted), max(self.keys.size - 1, 0))
        seen = self.keys[index] == wanted if self.keys.size else np.zeros(wanted.shape, bool)
        counts = np.where(seen, self.counts[index] - self.discount, 0.0) if self.keys.size else np.zeros(wanted.shape)
        total = np.maximum(self.occurrences[first], 1)
        left = np.where(self.occurrences[first] > 0, self.discount * self.followers[first] / total, 1.0)
        return counts / total + left * self.unigram.probabilities[second]

    def nats(self, tokens: np.ndarray, first_input: int) -> np.ndarray:
        """Return ``-ln P(w_t | w_{t-1})`` of each token in nats, ``[N]``, with ``first_input`` before the first."""
        tokens = checked_ids(tokens, self.vocab_size)
        nats = np.empty(tokens.size)
        for start in range(0, tokens.size, _CHUNK):
            second = tokens[start : start + _CHUNK]
            first = np.concatenate([[tokens[start - 1] if start else first_input], second[:-1]])
            nats[start : start + _CHUNK] = -np.log(self.probabilities(first, second))
        return nats
