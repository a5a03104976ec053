"""Bounds on the errors of computed spectra, and which of their values can be trusted."""
