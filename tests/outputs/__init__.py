"""Tests of ``rnnlm_jax.outputs``."""
