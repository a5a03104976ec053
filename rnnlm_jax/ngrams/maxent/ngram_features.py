"""The n-grams of a text as features of a log-linear model: scores, log-likelihood and expected counts.

The score of a word is the sum of the weights of all n-grams that end in it:

    s(w | h) = Σ_k λ(last k − 1 words of h, w),      P(w | h) = e^{s(w | h)} / Z(h)

A word not seen after h has the same score as after h', which is h without its first word. So the sum over all words is
that for h' and a difference for each word seen after h (Wu & Khudanpur 2000, "Efficient training methods for maximum
entropy language modeling", section 3):

    Z(h) = Z(h') + Σ_{w after h} (e^{s(w | h)} − e^{s(w | h')})

and all costs are proportional to the number of n-grams seen, not to the size of the vocabulary.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.data import Progress, no_progress
from rnnlm_jax.ngrams.backoff_model import Level
from rnnlm_jax.ngrams.ngram_counts import count_ngrams

Weights = list[np.ndarray]
"""λ of the n-grams of each order, float64, sorted by key; ``<s>``, among those of order 1, has 0."""


class NgramFeatures(NamedTuple):
    """The n-grams of one order k."""

    keys: Int[np.ndarray, "n"]  # context · V + word
    counts: Float[np.ndarray, "n"]  # occurrences
    longest: Float[np.ndarray, "n"]  # occurrences at which it is the longest n-gram
    contexts: Int[np.ndarray, "n"]  # number among the n-grams of order k - 1; 0, the empty context, for order 1
    suffixes: Int[np.ndarray, "n"]  # number of the suffix, likewise
    context_counts: Float[np.ndarray, "c"]  # how often each context is the longest one


class Scores(NamedTuple):
    """Scores and normalisers for given weights, by order."""

    scores: list[np.ndarray]  # s of each n-gram
    exponentials: list[np.ndarray]  # e^s
    below: list[np.ndarray]  # e^s of its suffix; 0 for order 1
    sums: list[np.ndarray]  # Z of each context, by the order of the n-grams that continue it


@dataclass(frozen=True)
class Features:
    """All n-grams of a text within sentences."""

    grams: tuple[NgramFeatures, ...]
    vocab_size: int

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.grams)

    @property
    def tokens(self) -> float:
        """The number of tokens of the text."""
        return float(sum(gram.longest.sum() for gram in self.grams))

    def score(self, weights: Weights) -> Scores:
        """Return the scores of all n-grams, and the sums over all words for all contexts."""
        found = Scores([], [], [], [])
        for k, (gram, weight) in enumerate(zip(self.grams, weights, strict=True)):
            if k == 0:
                scores, below, sums = weight.copy(), np.zeros(weight.size), np.zeros(1)
                scores[self.vocab_size] = -np.inf  # <s> is never predicted
                exponentials = np.exp(scores)
            else:
                scores = found.scores[-1][gram.suffixes] + weight
                below = found.exponentials[-1][gram.suffixes]
                exponentials = below * np.exp(weight)
                sums = found.sums[-1][self.grams[k - 1].suffixes]
            sums = sums + np.bincount(gram.contexts, weights=exponentials - below, minlength=gram.context_counts.size)
            for values, value in zip(found, (scores, exponentials, below, sums), strict=True):
                values.append(value)
        return found

    def nats(self, found: Scores) -> float:
        """Return ``−Σ ln P`` of the text in nats."""
        total = 0.0
        for gram, scores, sums in zip(self.grams, found.scores, found.sums, strict=True):
            there = gram.longest > 0
            total += float(gram.context_counts @ np.log(sums)) - float(gram.longest[there] @ scores[there])
        return total

    def expected(self, found: Scores) -> Weights:
        """Return the expected count of each n-gram over the histories of the text: ``Σ_h P(w | h)``.

        From the longest on: with ``A(h)`` the sum of 1/Z over histories that end in h, the expected count is
        ``e^s A(h)``, corrected for histories that have a longer n-gram with its own score.
        """
        inverse = [gram.context_counts / sums for gram, sums in zip(self.grams, found.sums, strict=True)]
        for k in range(self.order - 1, 0, -1):
            of_suffixes = np.bincount(self.grams[k - 1].suffixes, weights=inverse[k], minlength=inverse[k - 1].size)
            inverse[k - 1] = inverse[k - 1] + of_suffixes
        result: Weights = []
        longer: np.ndarray | float = 0.0
        for k in range(self.order - 1, -1, -1):
            gram, each = self.grams[k], inverse[k][self.grams[k].contexts]
            expected = found.exponentials[k] * each + longer
            result.append(expected)
            if k:
                in_place = expected - found.below[k] * each
                longer = np.bincount(gram.suffixes, weights=in_place, minlength=self.grams[k - 1].keys.size)
        return result[::-1]

    def levels(self, found: Scores) -> tuple[Level, ...]:
        """Return the model in backoff form: ``b(h) = Z(h') / Z(h)`` for words not seen after h."""
        logs = [np.log(sums) for sums in found.sums]
        levels = []
        for k, (gram, scores) in enumerate(zip(self.grams, found.scores, strict=True)):
            after = logs[k][gram.suffixes] - logs[k + 1] if k + 1 < self.order else np.zeros(gram.keys.size)
            # Rounding may give a probability above 1.
            levels.append(Level(gram.keys, np.minimum(scores - logs[k][gram.contexts], 0.0), after))
        return tuple(levels)


def features_from_tokens(
    tokens: Int[np.ndarray, "N"],
    vocab_size: int,
    eos_id: int | None,
    *,
    order: int,
    progress: Progress = no_progress,
) -> Features:
    """Return the n-grams of a text of orders 1 to ``order``; the arguments are those of ``count_ngrams``."""
    tables = count_ngrams(tokens, vocab_size, eos_id, order=order, progress=progress)
    grams: list[NgramFeatures] = []
    for k, table in enumerate(tables):
        longest = table.counts.astype(np.float64)
        if k + 1 < order:  # a suffix of a longer n-gram is never the longest itself
            longest[np.bincount(tables[k + 1].suffixes, minlength=longest.size) > 0] = 0.0
        contexts = table.keys // vocab_size if k else np.zeros(table.keys.size, np.int64)
        context_counts = np.bincount(contexts, weights=longest, minlength=tables[k - 1].keys.size if k else 1)
        grams.append(
            NgramFeatures(
                table.keys,
                table.counts.astype(np.float64),
                longest,
                contexts.astype(np.int32),
                table.suffixes,
                context_counts,
            )
        )
    return Features(tuple(grams), vocab_size)
