"""Tests of the Jacobian module."""
