"""Evaluating models: perplexity, sentence scores, comparison, rescoring, and horizons of trained models."""
