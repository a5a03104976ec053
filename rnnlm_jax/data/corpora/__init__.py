"""Corpora, one kind of source a file; use them through `rnnlm_jax.data.load_corpus`."""
