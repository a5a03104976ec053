"""Tests of ``rnnlm_jax.kernels``."""
