"""A list with what a language model makes of it, and weights for the two tuned on it."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm_jax.array_types import Bool, Float
from rnnlm_jax.evaluation.comparison import MixtureWeights, fit_weights
from rnnlm_jax.evaluation.rescoring.alignment import Alignments
from rnnlm_jax.evaluation.rescoring.nbest import NbestList
from rnnlm_jax.evaluation.rescoring.score_weights import Weights, features
from rnnlm_jax.evaluation.rescoring.sentence_model import SentenceModel
from rnnlm_jax.evaluation.rescoring.weight_tuning import Tuned, tune

#: (what, how much there is to do) -> a progress bar
Bar = Callable[[str, int], AbstractContextManager[Any]]


@dataclass(frozen=True, eq=False)
class ScoredList:
    """A list, and for each hypothesis the row that weights multiply: see ``features``."""

    nbest: NbestList
    rows: Float[np.ndarray, "N F"]
    tokens: int
    """Of its distinct texts, ends of lines included."""
    oov: int
    """How many of these are not in the vocabulary."""
    seconds: float
    """That scoring took."""

    @property
    def impossible(self) -> int:
        """How many hypotheses the model gives no probability at all."""
        return int(np.count_nonzero(np.isneginf(self.rows[:, -2])))


def score_list(nbest: NbestList, model: SentenceModel, shares: Sequence[float], unit: float, bar: Bar) -> ScoredList:
    """Each distinct text scored once.

    Args:
        nbest: the list.
        model: the models.
        shares: of each model in their mixture.
        unit: see ``features``.
        bar: makes a progress bar, which counts tokens.
    """
    start = time.perf_counter()
    text = model.encode(nbest.texts)
    with bar(f"scoring {nbest.path}", len(text) * len(model.scorers)) as progress:
        log_probs = model.log_probs(text, shares, progress.update)
    rows = features(nbest, log_probs, unit)
    return ScoredList(nbest, rows, len(text), text.oov, time.perf_counter() - start)


def fit_shares(model: SentenceModel, nbest: NbestList, references: Mapping[str, str]) -> MixtureWeights:
    """The shares of models that give the references of a list the highest likelihood."""
    return fit_weights(model.token_nll(model.encode([references[name] for name in nbest.ids])))


def free_weights(
    scores: Sequence[float], given_scores: bool, given_lm_weight: bool, given_penalty: bool
) -> Bool[np.ndarray, "F"]:
    """Which weights to tune: none that was given, and not that of the first score that counts, which is the unit.

    Args:
        scores: weights of scores; one of weight 0 is left out for good.
        given_scores: whether those of the scores were given.
        given_lm_weight: whether that of the language model was.
        given_penalty: whether that of words was.
    """
    counts = np.flatnonzero(scores)
    tuned = np.zeros(len(scores), bool)
    if not given_scores:
        tuned[counts[1:]] = True
    return np.array([*tuned, not given_lm_weight, not given_penalty])


def tune_weights(
    scored: ScoredList, alignments: Alignments, start: Weights, free: Bool[np.ndarray, "F"], bar: Bar
) -> tuple[Weights, Tuned]:
    """The free weights that make the fewest word errors on a list; only that of words may fall below 0."""
    positive = np.array([True] * (free.size - 1) + [False])
    with bar("tuning", 0) as progress:
        found = tune(
            scored.rows, alignments.errors, scored.nbest.starts, start.vector(), free, positive, progress.update
        )
    return Weights.of_vector(found.weights), found
