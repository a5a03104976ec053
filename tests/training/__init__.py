"""Tests of ``rnnlm_jax.training``."""
