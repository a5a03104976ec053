"""Nearly defective products, against exact arithmetic: a fault that is known, and told in the README."""

import mpmath
import numpy as np
import pytest

from rnnlm_jax.jacobians import product_spectrum


def log_singular_values_of_power(n, steps):
    """Of ``(I / 2 + N)^steps``, N with ones above the diagonal, from its binomial coefficients."""
    with mpmath.workdps(400):
        entries = [mpmath.binomial(steps, k) * mpmath.mpf(2) ** (k - steps) for k in range(n)]
        power = mpmath.matrix([[entries[j - i] if j >= i else mpmath.mpf(0) for j in range(n)] for i in range(n)])
        return np.array([float(mpmath.log(value)) for value in mpmath.svd_r(power, compute_uv=False)])


@pytest.mark.xfail(strict=True, reason="the certificate does not see it")
def test_a_trusted_value_of_a_jordan_block_is_right():
    n, steps = 8, 1000
    found = product_spectrum(np.broadcast_to(np.eye(n) / 2 + np.eye(n, k=1), (steps, n, n)))
    trusted = int(found.trusted)
    wanted = log_singular_values_of_power(n, steps)
    np.testing.assert_allclose(found.log_singular_values[:trusted], wanted[:trusted], rtol=0, atol=1e-6)
