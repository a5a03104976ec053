"""Sparse non-negative matrix (SNM) language models: n-grams and skip-grams, adjusted on held-out text."""

from rnnlm_jax.ngrams.snm.adjustment import Adjustment
from rnnlm_jax.ngrams.snm.history_features import FeatureType, ngram_types, skip_types
from rnnlm_jax.ngrams.snm.snm_model import SnmModel
from rnnlm_jax.ngrams.snm.snm_training import progress_total, train

__all__ = ["Adjustment", "FeatureType", "SnmModel", "ngram_types", "skip_types", "train", "progress_total"]
