"""N-gram models: counts and smoothing over token ids."""

from rnnlm_jax.ngrams.baselines import BigramBaseline, UnigramBaseline

__all__ = ["BigramBaseline", "UnigramBaseline"]
