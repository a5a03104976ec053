"""Arithmetic beyond the range and precision of a cell's dtype: float64, separate exponents, integers of any size."""
