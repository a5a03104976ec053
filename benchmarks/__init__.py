"""Running the benchmarks from a checkout, and their records."""
