"""Training of a language model: optimiser, step, loop, metrics and results."""
