"""Tests of the one evaluator: scorers, mixtures, caches, dynamic evaluation, tables."""
