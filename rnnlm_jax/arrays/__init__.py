"""Arrays: checking arguments, broadcasting, mesh axes, sparse rows, and activations that keep their digits."""
