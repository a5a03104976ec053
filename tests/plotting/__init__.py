"""Tests of ``rnnlm_jax.plotting``."""
