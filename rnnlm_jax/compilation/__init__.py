"""``jax.jit`` with options under which float64 is compiled correctly on this processor."""

from rnnlm_jax.compilation.float64_fault import (
    RIGHT_OPTIONS,
    float64_is_miscompiled,
    warn_of_faulty_jaxlib,
    warn_of_float64,
)
from rnnlm_jax.compilation.jitted import jit, under_jit

__all__ = ["RIGHT_OPTIONS", "float64_is_miscompiled", "jit", "under_jit", "warn_of_faulty_jaxlib", "warn_of_float64"]
