"""Weights of scores, and the best hypothesis of each utterance under them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Float, Int
from rnnlm_jax.errors import UserError
from rnnlm_jax.evaluation.rescoring.line_formats import LARGEST, MOSES
from rnnlm_jax.evaluation.rescoring.nbest import NbestList

#: One in each base of logarithms that a list may be in, in nats.
BASES = {"e": 1.0, "10": math.log(10.0)}


@dataclass(frozen=True)
class Weights:
    """``total = Σ_k a_k s_k + lm_weight · log P(text) + word_penalty · words``, all in nats."""

    scores: tuple[float, ...]
    """``a_k``, of the scores of the list."""
    lm_weight: float = 1.0
    word_penalty: float = 0.0
    """What each word adds: positive favours long hypotheses."""

    def vector(self) -> Float[np.ndarray, "F"]:
        """As one row."""
        return np.array([*self.scores, self.lm_weight, self.word_penalty])

    @classmethod
    def of_vector(cls, values: Sequence[float] | np.ndarray) -> "Weights":
        """Out of such a row."""
        *scores, lm_weight, word_penalty = (float(value) for value in values)
        return cls(tuple(scores), lm_weight, word_penalty)

    def first_pass(self) -> "Weights":
        """The scores of the list alone."""
        return Weights(self.scores, 0.0, 0.0)


def default_score_weights(nbest: NbestList) -> tuple[float, ...]:
    """1 for every score; of a Moses list for the total alone, since that has the features in it."""
    if nbest.format == MOSES and nbest.score_names[-1] == "total":
        return (0.0,) * (len(nbest.score_names) - 1) + (1.0,)
    return (1.0,) * len(nbest.score_names)


def features(nbest: NbestList, log_probs: Float[np.ndarray, "X"], unit: float = 1.0) -> Float[np.ndarray, "N F"]:
    """The row of each hypothesis that weights go with: its scores, ``log P`` of its text, and its words.

    Args:
        nbest: N hypotheses of X distinct texts.
        log_probs: of each distinct text, in nats.
        unit: by which the scores of the list are multiplied to be nats, higher better: see ``BASES``.
    """
    return np.column_stack([nbest.scores * unit, log_probs[nbest.text], nbest.words()])


def totals(rows: Float[np.ndarray, "N F"], weights: Float[np.ndarray, "F"]) -> Float[np.ndarray, "N"]:
    """``rows · weights``, where what has no weight counts for nothing, even if it is infinite."""
    used = np.flatnonzero(weights)
    return rows[:, used] @ weights[used]


def best(scores: Float[np.ndarray, "N"], starts: Int[np.ndarray, "U+1"]) -> Int[np.ndarray, "U"]:
    """The place of the highest score of each utterance; of equal ones the first.

    Raises:
        UserError: if a score is no number.
    """
    if np.isnan(scores).any():
        raise UserError("the total of a hypothesis is no number: check the scores, the weights and the model")
    highest = np.repeat(np.maximum.reduceat(scores, starts[:-1]), np.diff(starts))
    places = np.flatnonzero(scores == highest)
    return places[np.searchsorted(places, starts[:-1])]


def ranked(scores: Float[np.ndarray, "N"], starts: Int[np.ndarray, "U+1"]) -> Int[np.ndarray, "N"]:
    """The places of all hypotheses, in each utterance from the highest score down, equal ones as they were."""
    utterances = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    return np.lexsort((-scores, utterances))


def require_weights(weights: Weights, nbest: NbestList) -> None:
    """Check weights against the list that they are for.

    Raises:
        UserError: if one is not finite, the language model's is negative, or there are not as many as scores.
    """
    if len(weights.scores) != len(nbest.score_names):
        raise UserError(
            f"{len(weights.scores)} score weights for the {len(nbest.score_names)} scores of {nbest.path} "
            f"({', '.join(nbest.score_names)}): give as many"
        )
    if not (np.abs(weights.vector()) <= LARGEST).all():
        raise UserError(f"weights must be finite numbers, at most {LARGEST:g}")
    if weights.lm_weight < 0:
        raise UserError(f"the weight of the language model must be 0 or more, not {weights.lm_weight}")
