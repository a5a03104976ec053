"""The excess of models over the exact entropy rate of an artificial language."""
