"""Tests of compiling with the options that are right."""
