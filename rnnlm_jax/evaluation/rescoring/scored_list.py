"""N-best list with the log-probabilities of its texts, and weights tuned on it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm_jax.array_types import Bool, Float
from rnnlm_jax.evaluation.comparison import MixtureWeights, fit_weights
from rnnlm_jax.evaluation.rescoring.alignment import ListErrors
from rnnlm_jax.evaluation.rescoring.nbest import NbestList
from rnnlm_jax.evaluation.rescoring.score_weights import Weights, feature_rows
from rnnlm_jax.evaluation.rescoring.sentence_model import SentenceModel
from rnnlm_jax.evaluation.rescoring.weight_tuning import DevelopmentSet, TunedWeights, tune
from rnnlm_jax.system.progress import MakeProgressBar


@dataclass(frozen=True, eq=False)
class ScoredList:
    """N-best list with the features of each hypothesis; see ``feature_rows``."""

    nbest: NbestList
    rows: Float[np.ndarray, "N F"]
    tokens: int
    """Number of tokens of its distinct texts, ends of lines included."""
    oov: int
    """Number of unknown tokens among them."""
    seconds: float
    """Time of scoring."""

    @property
    def lm_log_probs(self) -> Float[np.ndarray, "N"]:
        """``ln P`` of each hypothesis by the language model, in nats."""
        return self.rows[:, -2]

    @property
    def impossible(self) -> int:
        """Number of hypotheses with probability 0."""
        return int(np.count_nonzero(np.isneginf(self.lm_log_probs)))


def score_list(
    nbest: NbestList,
    model: SentenceModel,
    mixture_weights: Sequence[float],
    *,
    unit: float = 1.0,
    make_bar: MakeProgressBar,
) -> ScoredList:
    """Score each distinct text of a list once.

    Args:
        nbest: n-best list.
        model: language models.
        mixture_weights: weight of each language model in their mixture.
        unit: factor that turns the list's scores into nats; see ``feature_rows``.
        make_bar: makes a progress bar, which counts tokens.
    """
    start = time.perf_counter()
    text = model.encode(nbest.texts)
    with make_bar(f"scoring {nbest.path}", len(text) * len(model.scorers)) as bar:
        log_probs = model.log_probs(text, mixture_weights, bar.update)
    rows = feature_rows(nbest, log_probs, unit)
    return ScoredList(nbest, rows, len(text), text.oov, time.perf_counter() - start)


def fit_mixture_weights(model: SentenceModel, nbest: NbestList, references: Mapping[str, str]) -> MixtureWeights:
    """Fit the mixture weights of language models to the references of a list, by maximum likelihood."""
    return fit_weights(model.token_nll(model.encode([references[name] for name in nbest.ids])))


def free_weights(
    scores: Sequence[float],
    *,
    scores_given: bool = False,
    lm_weight_given: bool = False,
    word_penalty_given: bool = False,
) -> Bool[np.ndarray, "F"]:
    """Return which weights to tune: those that are not given, except the first score's, which sets the unit.

    Args:
        scores: weights of the scores; scores of weight 0 are never used.
        scores_given: whether the weights of the scores are given.
        lm_weight_given: whether the weight of the language model is given.
        word_penalty_given: whether the word penalty is given.
    """
    used = np.flatnonzero(scores)
    tuned = np.zeros(len(scores), bool)
    if not scores_given:
        tuned[used[1:]] = True
    return np.array([*tuned, not lm_weight_given, not word_penalty_given])


def tune_weights(
    scored: ScoredList,
    errors: ListErrors,
    start: Weights,
    *,
    free: Bool[np.ndarray, "F"],
    make_bar: MakeProgressBar,
) -> tuple[Weights, TunedWeights]:
    """Tune the free weights for the fewest word errors on a list; only the word penalty may become negative."""
    positive = np.array([True] * (free.size - 1) + [False])
    development = DevelopmentSet(scored.rows, errors.alignments.errors, scored.nbest.starts)
    with make_bar("tuning", 0) as bar:
        tuned = tune(development, start.vector(), free=free, positive=positive, progress=bar.update)
    return Weights.of_vector(tuned.weights), tuned
