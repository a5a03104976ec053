"""Nearly defective products against exact arithmetic: the error bounds hold, also where the values are wrong."""

import mpmath
import numpy as np
import pytest

from rnnlm_jax.jacobians import product_spectrum


def log_singular_values_of_power(n, steps):
    """Return those of ``(I / 2 + N)^steps``, N with ones above the diagonal, from binomial coefficients."""
    with mpmath.workdps(400):
        entries = [mpmath.binomial(steps, k) * mpmath.mpf(2) ** (k - steps) for k in range(n)]
        power = mpmath.matrix([[entries[j - i] if j >= i else mpmath.mpf(0) for j in range(n)] for i in range(n)])
        return np.array([float(mpmath.log(value)) for value in mpmath.svd_r(power, compute_uv=False)])


@pytest.mark.parametrize(("n", "steps", "lost"), [(8, 100, False), (8, 1000, True), (20, 500, True)])
def test_the_bound_holds_for_powers_of_a_jordan_block(n, steps, lost):
    """The values are off by 1e-7, by 2 nats or by 80, which the residual of the last step does not show."""
    result = product_spectrum(np.broadcast_to(np.eye(n) / 2 + np.eye(n, k=1), (steps, n, n)))
    off = np.abs(result.log_singular_values - log_singular_values_of_power(n, steps))
    assert (off <= result.error).all()
    assert (result.error == np.inf).all() == lost
    assert lost or result.error.max() < 1e-5
    assert off.max() > (0.1 if lost else 1e-9)
