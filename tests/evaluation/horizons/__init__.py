"""Tests of what is measured of trained models on a text."""
