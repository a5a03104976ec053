"""C++ kernels for what XLA does slowly on CPUs, each beside the pure function that defines it."""

from rnnlm_jax.kernels.library import unavailable

__all__ = ["unavailable"]
