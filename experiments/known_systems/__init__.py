"""Lyapunov exponents of systems whose exponents are known, and of networks that learned one of them."""
