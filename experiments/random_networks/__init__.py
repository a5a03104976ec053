"""Lyapunov exponents of random networks, beside mean-field theory for infinitely large ones."""
