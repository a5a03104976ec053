"""Clipping and Ω where plain gradient descent fails: the experiments of Pascanu, Mikolov & Bengio (2013)."""
