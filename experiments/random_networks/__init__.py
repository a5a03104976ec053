"""Lyapunov exponents of random networks beside what mean-field theory says of infinitely large ones."""
