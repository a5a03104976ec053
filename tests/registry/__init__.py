"""Tests of ``rnnlm_jax.registry``."""
