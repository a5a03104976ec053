"""Kernels are tested where they can be compiled."""

import pytest

from rnnlm_jax.kernels import unavailable


@pytest.fixture
def kernels():
    """Skip, with the reason, where kernels cannot be compiled."""
    if (reason := unavailable()) is not None:
        pytest.skip(f"no native kernels: {reason}")
