"""Minimal pairs: how often a model gives the acceptable one of two sentences, or of two forms, more probability.

    pairs = read_pairs("blimp/npi_present_1.jsonl")             # BLiMP, tabs, or the stem of .text, .eval and .gold
    scores = score_pairs(open_scorer("runs/lstm"), pairs, make_bar=token_bar)
    report = report_pairs(scores)
    report.all.value, report.all.interval, report.groups["npi_present_1"].value, report.known.value
    print(pair_table([report]))

Probabilities are exact, natural logarithms, and of any scorer: a trained run, an n-gram model, a mixture.
"""

from rnnlm_jax.evaluation.minimal_pairs.accuracy import Accuracy, accuracy_of, wilson_interval
from rnnlm_jax.evaluation.minimal_pairs.index_files import index_pairs
from rnnlm_jax.evaluation.minimal_pairs.pair import DEPENDENCY, POSITION, SENTENCE, WORD, Contrast, Pair, PairSet
from rnnlm_jax.evaluation.minimal_pairs.pair_reading import read_pairs
from rnnlm_jax.evaluation.minimal_pairs.pair_report import PairReport, pair_scores_text, report_pairs
from rnnlm_jax.evaluation.minimal_pairs.pair_scores import PairScores, score_pairs
from rnnlm_jax.evaluation.minimal_pairs.pair_table import pair_summary, pair_table
from rnnlm_jax.evaluation.minimal_pairs.vocabulary_text import VocabularyText, text_rules

__all__ = [
    "DEPENDENCY",
    "POSITION",
    "SENTENCE",
    "WORD",
    "Accuracy",
    "Contrast",
    "Pair",
    "PairReport",
    "PairScores",
    "PairSet",
    "VocabularyText",
    "accuracy_of",
    "index_pairs",
    "pair_scores_text",
    "pair_summary",
    "pair_table",
    "read_pairs",
    "report_pairs",
    "score_pairs",
    "text_rules",
    "wilson_interval",
]
