"""Norms of vectors of any magnitude, and their derivatives, also at zero."""

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.jacobians.arithmetic.norms import norm


def test_values_and_derivatives_at_any_magnitude():
    """The derivative at zero is 0 in both modes; it was NaN once."""
    v = jnp.asarray([[3.0, 4.0], [0.0, 0.0], [3e300, 4e300], [-3e-300, 4e-300]])
    pushed = jax.jvp(norm, (v,), (jnp.ones_like(v),))
    np.testing.assert_allclose(pushed[0], [5, 0, 5e300, 5e-300], rtol=1e-15)
    np.testing.assert_allclose(pushed[1], [1.4, 0, 1.4, 0.2], rtol=1e-15)
    gradient = jax.grad(lambda v: jnp.asarray([1.0, 2.0, 1.0, 1.0]) @ norm(v))(v)
    np.testing.assert_allclose(gradient, [[0.6, 0.8], [0, 0], [0.6, 0.8], [-0.6, 0.8]], rtol=1e-15)
    np.testing.assert_array_equal(norm(jnp.asarray([[jnp.nan, 1.0], [jnp.inf, 1.0]])), [jnp.nan, jnp.inf])
