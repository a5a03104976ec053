"""Unigram and bigram models of a token stream: what any trained model has to beat."""

import numpy as np

from rnnlm_jax.data.encoded_text import array_chunks
from rnnlm_jax.ngrams.token_ids import checked_ids

#: Tokens of a text that are counted together.
_AT_ONCE = 2**22


class UnigramBaseline:
    """Relative frequencies with one added to every count, ``P(v) = (c(v) + 1) / (N + V)`` (Laplace).

    Args:
        tokens: training text, int ``[N]``.
        vocab_size: V.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        """Count."""
        counts = np.zeros(vocab_size, np.int64)
        for part in array_chunks(checked_ids(tokens, vocab_size)):
            counts += np.bincount(part, minlength=vocab_size)
        self._set(counts)

    @classmethod
    def of_counts(cls, counts: np.ndarray) -> "UnigramBaseline":
        """The model of a text of which only the counts of words, ``[V]``, are at hand."""
        found = cls.__new__(cls)
        found._set(counts)
        return found

    def _set(self, counts: np.ndarray) -> None:
        self.probabilities = (counts + 1) / (counts.sum() + counts.size)

    def nats(self, tokens: np.ndarray) -> np.ndarray:
        """``-log P(w_t)`` of each token, ``[N]``."""
        return -np.log(self.probabilities[checked_ids(tokens, self.probabilities.size)])


class BigramBaseline:
    """Interpolated absolute discounting over the unigram model (Ney, Essen & Kneser 1994).

        P(w | u) = max(c(u w) - D, 0) / c(u) + D · N(u ·) / c(u) · P(w),    D = n_1 / (n_1 + 2 n_2),

    with ``N(u ·)`` the number of types seen after u and ``n_k`` the number of bigrams seen k times. After a u that was
    never followed by anything, ``P(w | u) = P(w)``.

    Args:
        tokens: training text, int ``[N]``.
        vocab_size: V.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        """Count."""
        self.vocab_size = vocab_size
        tokens = checked_ids(tokens, vocab_size)
        self.unigram = UnigramBaseline(tokens, vocab_size)
        self.keys, self.counts = self._counted(tokens)
        first = self.keys // vocab_size
        self.followers = np.bincount(first, minlength=vocab_size)
        self.occurrences = np.bincount(first, weights=self.counts, minlength=vocab_size)
        once, twice = np.sum(self.counts == 1), np.sum(self.counts == 2)
        self.discount = once / (once + 2 * twice) if once else 0.5

    def _counted(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bigrams of a text, ascending, and their counts; part by part, since a text may be large."""
        keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        starts = range(0, max(tokens.size - 1, 0), _AT_ONCE)
        for start in starts:
            part = tokens[start : start + _AT_ONCE + 1]
            waiting.append(np.unique(self._keys(part[:-1], part[1:]), return_counts=True))
            if sum(found.size for found, _ in waiting) > max(keys.size, _AT_ONCE) or start == starts[-1]:
                waiting.append((keys, counts))
                every, weights = (np.concatenate(arrays) for arrays in zip(*waiting, strict=True))
                keys, place = np.unique(every, return_inverse=True)
                counts = np.zeros(keys.size, np.int64)
                np.add.at(counts, place, weights)
                waiting = []
        return keys, counts

    def _keys(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first.astype(np.int64) * self.vocab_size + second

    def probabilities(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """``P(second | first)``, element by element."""
        first, second = checked_ids(first, self.vocab_size), checked_ids(second, self.vocab_size)
        wanted = self._keys(first, second)
        place = np.minimum(np.searchsorted(self.keys, wanted), max(self.keys.size - 1, 0))
        seen = self.keys[place] == wanted if self.keys.size else np.zeros(wanted.shape, bool)
        counts = np.where(seen, self.counts[place] - self.discount, 0.0) if self.keys.size else np.zeros(wanted.shape)
        total = np.maximum(self.occurrences[first], 1)
        left = np.where(self.occurrences[first] > 0, self.discount * self.followers[first] / total, 1.0)
        return counts / total + left * self.unigram.probabilities[second]

    def nats(self, tokens: np.ndarray, first_input: int) -> np.ndarray:
        """``-log P(w_t | w_{t-1})`` of each token, ``[N]``; ``first_input`` stands before the first."""
        tokens = checked_ids(tokens, self.vocab_size)
        nats = np.empty(tokens.size)
        for start in range(0, tokens.size, _AT_ONCE):
            second = tokens[start : start + _AT_ONCE]
            first = np.concatenate([[tokens[start - 1] if start else first_input], second[:-1]])
            nats[start : start + _AT_ONCE] = -np.log(self.probabilities(first, second))
        return nats
