"""Kernels in C++ for what XLA does slowly on a CPU, each beside the pure function that it means."""

from rnnlm_jax.kernels.library import unavailable

__all__ = ["unavailable"]
