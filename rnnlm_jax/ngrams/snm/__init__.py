"""Sparse non-negative matrix language models: n-grams and skip-grams, adjusted on held-out text."""

from rnnlm_jax.ngrams.snm.adjustment import Adjustment
from rnnlm_jax.ngrams.snm.features import FeatureType, ngram_types, skip_types
from rnnlm_jax.ngrams.snm.model import SnmModel
from rnnlm_jax.ngrams.snm.training import train, work

__all__ = ["Adjustment", "FeatureType", "SnmModel", "ngram_types", "skip_types", "train", "work"]
