"""Rescore n-best lists of a recogniser or translator with language models, and tune the weights for word errors.

    nbest = read_nbest("dev.nbest")                                       # tabs, Moses, JSON lines or Kaldi
    model = SentenceModel([open_scorer("runs/lstm")])
    scored = score_list(nbest, model, [1.0], make_bar=token_bar)          # ln P of each distinct text
    errors = list_errors(nbest, read_references(["dev.ref"]))
    weights, _ = tune_weights(scored, errors, Weights((1.0,)), free=free_weights((1.0,)), make_bar=token_bar)
    chosen = best_hypotheses(total_scores(scored.rows, weights.vector()), nbest.starts)
    print(best_text(nbest, chosen), error_table([report_errors(scored, weights, errors)]))

Scores and log-probabilities are in nats and higher is better.
"""

from rnnlm_jax.evaluation.rescoring.alignment import (
    Alignments,
    ListErrors,
    WordErrors,
    list_errors,
    total_errors,
    word_errors,
)
from rnnlm_jax.evaluation.rescoring.error_report import ErrorReport, error_table, report_errors
from rnnlm_jax.evaluation.rescoring.nbest import Hypothesis, NbestList, collect
from rnnlm_jax.evaluation.rescoring.nbest_reading import read_nbest, read_references
from rnnlm_jax.evaluation.rescoring.nbest_writing import best_text, nbest_text
from rnnlm_jax.evaluation.rescoring.score_weights import (
    BASES,
    Weights,
    best_hypotheses,
    default_score_weights,
    feature_rows,
    ranked_hypotheses,
    require_weights,
    total_scores,
)
from rnnlm_jax.evaluation.rescoring.scored_list import (
    ScoredList,
    fit_mixture_weights,
    free_weights,
    score_list,
    tune_weights,
)
from rnnlm_jax.evaluation.rescoring.sentence_model import SentenceModel
from rnnlm_jax.evaluation.rescoring.weight_tuning import DevelopmentSet, TunedWeights, require_free, tune

__all__ = [
    "BASES",
    "Alignments",
    "DevelopmentSet",
    "ErrorReport",
    "Hypothesis",
    "ListErrors",
    "NbestList",
    "ScoredList",
    "SentenceModel",
    "TunedWeights",
    "Weights",
    "WordErrors",
    "best_hypotheses",
    "best_text",
    "collect",
    "default_score_weights",
    "error_table",
    "feature_rows",
    "fit_mixture_weights",
    "free_weights",
    "list_errors",
    "nbest_text",
    "ranked_hypotheses",
    "read_nbest",
    "read_references",
    "report_errors",
    "require_free",
    "require_weights",
    "score_list",
    "total_errors",
    "total_scores",
    "tune",
    "tune_weights",
    "word_errors",
]
