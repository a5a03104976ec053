"""Weights and modules of other libraries, and exported models; each file imports at most one other library."""
