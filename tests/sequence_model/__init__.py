"""Tests of models of sequences and their training."""
