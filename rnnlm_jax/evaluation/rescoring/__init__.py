"""N-best lists: read, scored by language models, rescored with weights tuned for word errors, measured."""

from rnnlm_jax.evaluation.rescoring.alignment import Alignments, WordErrors, list_errors, total_errors, word_errors
from rnnlm_jax.evaluation.rescoring.error_report import Measured, measured, table
from rnnlm_jax.evaluation.rescoring.nbest import Hypothesis, NbestList, collect
from rnnlm_jax.evaluation.rescoring.nbest_reading import read_nbest, read_references
from rnnlm_jax.evaluation.rescoring.nbest_writing import best_text, nbest_text
from rnnlm_jax.evaluation.rescoring.score_weights import (
    BASES,
    Weights,
    best,
    default_score_weights,
    features,
    ranked,
    require_weights,
    totals,
)
from rnnlm_jax.evaluation.rescoring.scored_list import ScoredList, fit_shares, free_weights, score_list, tune_weights
from rnnlm_jax.evaluation.rescoring.sentence_model import SentenceModel
from rnnlm_jax.evaluation.rescoring.weight_tuning import Tuned, require_free, tune

__all__ = [
    "BASES",
    "Alignments",
    "Hypothesis",
    "Measured",
    "NbestList",
    "ScoredList",
    "SentenceModel",
    "Tuned",
    "Weights",
    "WordErrors",
    "best",
    "best_text",
    "collect",
    "default_score_weights",
    "features",
    "fit_shares",
    "free_weights",
    "list_errors",
    "measured",
    "nbest_text",
    "ranked",
    "read_nbest",
    "read_references",
    "require_free",
    "require_weights",
    "score_list",
    "table",
    "total_errors",
    "totals",
    "tune",
    "tune_weights",
    "word_errors",
]
