"""Kernels are tested where they can be compiled."""

import pytest

from rnnlm_jax.kernels import unavailable


@pytest.fixture
def kernels():
    """Skip, by name, where there are no kernels."""
    if (reason := unavailable()) is not None:
        pytest.skip(f"no native kernels: {reason}")
