"""Tests of the division over devices and processes."""
