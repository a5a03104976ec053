"""Tests of ``rnnlm_jax.cells``."""
