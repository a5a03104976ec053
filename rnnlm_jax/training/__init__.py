"""Training a language model: step, loop, checkpoints and metrics."""
