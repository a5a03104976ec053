"""Benchmarks that run from a checkout, and their records; ``rnnlm_jax.benchmarking`` is the main one."""
