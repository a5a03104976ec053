"""Tests of ``rnnlm_jax.native``."""
