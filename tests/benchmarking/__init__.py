"""Tests of the benchmark: what is counted, compared and printed. Times are never asserted."""
