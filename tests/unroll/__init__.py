"""Tests of ``rnnlm_jax.unroll``."""
