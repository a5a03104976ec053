"""Weights of a hypothesis's scores, and the best hypothesis of each utterance under them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.rescoring.line_formats import LARGEST_SCORE, MOSES
from rnnlm_jax.evaluation.rescoring.nbest import NbestList

#: Base of logarithms that a list's scores may have -> nats per unit.
BASES = {"e": 1.0, "10": math.log(10.0)}


@dataclass(frozen=True)
class Weights:
    """``total = Σ_k a_k s_k + lm_weight · ln P(text) + word_penalty · words``, all in nats."""

    scores: tuple[float, ...]
    """``a_k``, the weights of the list's scores."""
    lm_weight: float = 1.0
    word_penalty: float = 0.0
    """Added for each word: positive values favour long hypotheses."""

    def vector(self) -> Float[np.ndarray, "F"]:
        """Return the weights in the order of ``feature_rows``."""
        return np.array([*self.scores, self.lm_weight, self.word_penalty])

    @classmethod
    def of_vector(cls, values: Sequence[float] | np.ndarray) -> "Weights":
        """Return the weights with the given ``vector``."""
        *scores, lm_weight, word_penalty = (float(value) for value in values)
        return cls(tuple(scores), lm_weight, word_penalty)

    def first_pass(self) -> "Weights":
        """Return the same weights for the list's scores, without language model and word penalty."""
        return Weights(self.scores, 0.0, 0.0)


def default_score_weights(nbest: NbestList) -> tuple[float, ...]:
    """Return 1 for every score; for a Moses list 1 for the total alone, which includes the other scores."""
    if nbest.format == MOSES and nbest.score_names[-1] == "total":
        return (0.0,) * (len(nbest.score_names) - 1) + (1.0,)
    return (1.0,) * len(nbest.score_names)


def feature_rows(nbest: NbestList, log_probs: Float[np.ndarray, "X"], unit: float = 1.0) -> Float[np.ndarray, "N F"]:
    """Return the features of each hypothesis that weights multiply: its scores, ``ln P`` of its text, its word count.

    Args:
        nbest: list of N hypotheses with X distinct texts.
        log_probs: ``ln P`` of each distinct text, in nats.
        unit: factor that turns the list's scores into nats, higher being better; see ``BASES``.
    """
    return np.column_stack([nbest.scores * unit, log_probs[nbest.text], nbest.word_counts()])


def total_scores(rows: Float[np.ndarray, "N F"], weights: Float[np.ndarray, "F"]) -> Float[np.ndarray, "N"]:
    """Return ``rows · weights``; features of weight 0 are ignored even if they are infinite."""
    used = np.flatnonzero(weights)
    return rows[:, used] @ weights[used]


def best_hypotheses(scores: Float[np.ndarray, "N"], starts: Int[np.ndarray, "offsets"]) -> Int[np.ndarray, "U"]:
    """Return the index of the highest score of each utterance, the first of equal ones.

    Raises:
        DataError: if a score is NaN.
    """
    if np.isnan(scores).any():
        raise DataError("the total of a hypothesis is NaN: check the scores, the weights and the model")
    highest = np.repeat(np.maximum.reduceat(scores, starts[:-1]), np.diff(starts))
    winners = np.flatnonzero(scores == highest)
    return winners[np.searchsorted(winners, starts[:-1])]


def ranked_hypotheses(scores: Float[np.ndarray, "N"], starts: Int[np.ndarray, "offsets"]) -> Int[np.ndarray, "N"]:
    """Return the indices of all hypotheses, each utterance sorted by falling score; equal ones keep their order."""
    utterances = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    return np.lexsort((-scores, utterances))


def require_weights(weights: Weights, nbest: NbestList) -> None:
    """Check that weights fit a list.

    Raises:
        ArgumentError: if a weight is not finite, the language model's is negative, or the number of score weights is
            not the number of scores.
    """
    if len(weights.scores) != len(nbest.score_names):
        raise ArgumentError(
            f"{len(weights.scores)} score weights for the {len(nbest.score_names)} scores of {nbest.path} "
            f"({', '.join(nbest.score_names)}): give as many"
        )
    if not (np.abs(weights.vector()) <= LARGEST_SCORE).all():
        raise ArgumentError(f"weights must be finite numbers, at most {LARGEST_SCORE:g}")
    if weights.lm_weight < 0:
        raise ArgumentError(f"the weight of the language model must be 0 or more, not {weights.lm_weight}")
