"""Derivatives of the public functions with respect to a cell's parameters: both modes against finite differences.

Derivatives of spectra have tests of their own. Functions that compute in NumPy raise an error when they are traced.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians

H, D, T = 3, 2, 4
KEY = jax.random.key(0)
CELL = cells.elman(H, param_dtype="float64")


def random_arguments():
    """Return parameters, a state and inputs."""
    state = jax.tree.map(lambda a: a + 0.1, CELL.initial_state(()))
    return CELL.init(KEY, D), state, jax.random.normal(jax.random.key(1), (T, D))


def states(count):
    return jax.tree.map(lambda a: jnp.stack([a] * count), random_arguments()[1])


DIFFERENTIABLE = {
    "step_jacobian": lambda p, s, xs: jacobians.step_jacobian(CELL, p, s, xs[0]),
    "input_jacobian": lambda p, s, xs: jacobians.input_jacobian(CELL, p, s, xs[0]),
    "output_jacobian": lambda p, s, xs: jacobians.output_jacobian(CELL, p, s, xs[0], output=lambda h: h @ p.w_h),
    "input_to_state": lambda p, s, xs: jacobians.input_to_state(CELL, p, s, xs, i=3, j=1),
    "input_to_output": lambda p, s, xs: jacobians.input_to_output(CELL, p, s, xs, i=3, j=1),
    "state_to_output": lambda p, s, xs: jacobians.state_to_output(CELL, p, s, xs, i=3, j=1),
    "products": lambda p, s, xs: jacobians.products(CELL, p, s, xs),
    "products_to_end": lambda p, s, xs: jacobians.products_to_end(CELL, p, s, xs),
    "state_product": lambda p, s, xs: jacobians.state_product(CELL, p, s, xs, i=3, j=1),
    "top_singular": lambda p, s, xs: jacobians.top_singular(CELL, p, s, xs, k=1, key=KEY).log_singular_values,
    "lyapunov_spectrum": lambda p, s, xs: jacobians.lyapunov_spectrum(CELL, p, s, xs, key=KEY).exponents,
    "covariant_vectors": lambda p, s, xs: jacobians.covariant_vectors(CELL, p, s, xs, key=KEY, burn_in=0, burn_out=1),
    "finite_time_exponents": lambda p, s, xs: jacobians.finite_time_exponents(CELL, p, s, xs, window=2, key=KEY)[0],
    "gradient_flossing": lambda p, s, xs: jacobians.gradient_flossing(CELL, p, s, xs, count=1, key=KEY),
    "gradient_by_lag": lambda p, s, xs: jacobians.gradient_by_lag(
        CELL, p, s, xs, loss_of_output=lambda h: (h * h).sum()
    ),
    "state_cotangents": lambda p, s, xs: jacobians.state_cotangents(CELL, p, s, xs, output_cotangents=jnp.ones((T, H))),
    "step_log_abs_det": lambda p, s, xs: jacobians.step_log_abs_det(CELL, p, states(T), CELL.input_projection(p, xs)),
    "fixed_points": lambda p, s, xs: jacobians.fixed_points(CELL, p, xs[0], starts=states(2)).states,
}

ON_THE_HOST = {
    "eigenvalue_moduli": lambda p, s, xs: jacobians.eigenvalue_moduli(CELL, p, s, xs),
    "log_eigenvalue_moduli": lambda p, s, xs: jacobians.log_eigenvalue_moduli(p.w_h[None]),
    "eigenbasis": lambda p, s, xs: jacobians.eigenbasis(p.w_h),
    "decay_rates": lambda p, s, xs: jacobians.decay_rates(CELL, p),
    "fixed_point_eigenvalues": lambda p, s, xs: jacobians.fixed_point_eigenvalues(CELL, p, xs[0], states=states(2)),
    "distinct": lambda p, s, xs: jacobians.distinct(jacobians.fixed_points(CELL, p, xs[0], starts=states(2))),
}


def total(tree):
    """Return the sum of all finite entries."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return sum(jnp.where(jnp.isfinite(leaf), leaf, 0).sum() for leaf in leaves)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_both_modes_agree_with_finite_differences(name):
    params, state, xs = random_arguments()
    direction = jax.tree.map(lambda a: jax.random.normal(jax.random.key(2), a.shape), params)

    def value(size):
        moved = jax.tree.map(lambda a, b: a + size * b, params, direction)
        return total(DIFFERENTIABLE[name](moved, state, xs))

    pushed = jax.jit(lambda size: jax.jvp(value, (size,), (1.0,)))  # one program for values and forward mode
    step = 1e-6
    expected = (pushed(step)[0] - pushed(-step)[0]) / (2 * step)
    assert abs(expected) > 1e-3
    np.testing.assert_allclose(jax.jit(jax.grad(value))(0.0), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(pushed(0.0)[1], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ON_THE_HOST)
def test_functions_of_the_host_refuse_to_be_traced(name):
    with pytest.raises(UserError, match="outside of jit, vmap, grad and scan"):
        jax.jit(ON_THE_HOST[name])(*random_arguments())


def test_a_multiple_fixed_point_has_no_derivative():
    """``h = tanh(h)`` has a triple root at 0, where the Jacobian is 1: the derivative is 0, not NaN."""
    cell = cells.elman(1, param_dtype="float64")
    params = jax.tree.map(jnp.zeros_like, cell.init(KEY, 1))._replace(w_h=jnp.ones((1, 1)))

    def value(w_h):
        moved, starts = params._replace(w_h=w_h), cell.initial_state((1,))
        return jacobians.fixed_points(cell, moved, jnp.zeros(1), starts=starts).states.hidden.sum()

    result, slope = jax.value_and_grad(value)(params.w_h)
    assert result == 0
    assert slope == 0
