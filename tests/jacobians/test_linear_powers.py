"""Powers of the Jacobian of a linear recurrence in its eigenbasis, and of a defective matrix without one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians.linear_powers import eigenbasis, log_component_moduli, power
from rnnlm_jax.jacobians.products import products
from rnnlm_jax.jacobians.step_jacobian import step_jacobian
from tests.unroll.programs import jit

MATRIX = np.random.default_rng(0).normal(size=(6, 6)) / np.sqrt(6)


def jacobians_of_linear(w_h, steps):
    """Return a linear cell, its parameters, and its ``∂h_ℓ/∂h_0`` at every lag."""
    cell = cells.linear(len(w_h), param_dtype="float64")
    params = cell.init(jax.random.key(0), 2)._replace(w_h=jnp.asarray(w_h))
    return cell, params, jit(products, static_argnums=0)(cell, params, cell.initial_state(()), jnp.ones((steps, 2)))


@pytest.mark.parametrize("lag", [0, 1, 2, 17])
def test_powers_are_those_of_the_matrix(lag):
    basis = eigenbasis(jnp.asarray(MATRIX))
    assert np.iscomplexobj(basis.eigenvalues)
    assert (np.diff(np.abs(basis.eigenvalues)) <= 1e-15).all()
    expected = np.linalg.matrix_power(MATRIX, lag)
    np.testing.assert_allclose(power(basis, lag), expected, rtol=0, atol=1e-13 * np.abs(expected).max() + 1e-300)


def test_the_basis_consists_of_eigenvectors():
    basis = eigenbasis(MATRIX)
    np.testing.assert_allclose(MATRIX @ basis.vectors, basis.vectors * basis.eigenvalues, rtol=0, atol=1e-14)
    np.testing.assert_allclose(basis.vectors @ basis.inverse, np.eye(6), rtol=0, atol=1e-14)
    values = np.linalg.svd(basis.vectors, compute_uv=False)
    np.testing.assert_allclose(basis.condition_number, values[0] / values[-1], rtol=1e-12)


def test_float32_stays_float32():
    result = power(eigenbasis(MATRIX.astype(np.float32)), 5)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.linalg.matrix_power(MATRIX, 5), rtol=0, atol=1e-5)


def test_a_normal_matrix_has_condition_number_1():
    q, _ = np.linalg.qr(MATRIX)
    basis = eigenbasis(q)
    np.testing.assert_allclose(basis.condition_number, 1, rtol=1e-12)
    np.testing.assert_allclose(log_component_moduli(basis, [1, 1000]), np.zeros((2, 6)), rtol=0, atol=1e-11)


def test_components_grow_as_the_jacobians_of_the_cell_stretch_them():
    lags = [1, 4, 9]
    cell, params, result = jacobians_of_linear(MATRIX.T, 9)
    basis = eigenbasis(params.w_h.T)
    jacobian = step_jacobian(cell, params, cell.initial_state(()), jnp.ones(2))
    np.testing.assert_allclose(jacobian, MATRIX, rtol=0, atol=1e-15)
    logs = log_component_moduli(basis, lags)
    for row, lag in zip(logs, lags, strict=True):
        plain = result.plain()[lag - 1]
        np.testing.assert_allclose(plain, power(basis, lag), rtol=0, atol=1e-13)
        stretched = np.linalg.norm(plain @ basis.vectors, axis=0)
        np.testing.assert_allclose(row, np.log(stretched), rtol=0, atol=1e-10)  # small ones cancel


def test_components_of_zero_eigenvalues():
    logs = log_component_moduli(eigenbasis(np.diag([2.0, 0.0])), [0, 3])
    np.testing.assert_array_equal(logs[0], [0.0, 0.0])
    np.testing.assert_allclose(logs[1, 0], 3 * np.log(2), rtol=1e-15)
    assert logs[1, 1] == -np.inf


def test_transient_growth_of_a_defective_matrix():
    """The spectral radius is below 1, but powers grow at first; ``products`` computes them, an eigenbasis cannot."""
    a, b, steps = 0.9, 1.0, 60
    matrix = np.array([[a, b], [0.0, a]])
    _, _, result = jacobians_of_linear(matrix.T, steps)
    ell = np.arange(1, steps + 1)
    expected = np.zeros((steps, 2, 2))
    expected[:, 0, 0] = expected[:, 1, 1] = a**ell
    expected[:, 0, 1] = ell * a ** (ell - 1) * b
    np.testing.assert_allclose(result.plain(), expected, rtol=1e-13, atol=0)
    norms = np.asarray(result.log_scale)
    assert norms.argmax() + 1 == 9
    assert norms.max() > np.log(3.8)
    assert norms[-1] < np.log(0.15)

    basis = eigenbasis(matrix)
    assert basis.condition_number > 1e15
    with pytest.raises(UserError, match="take its powers from products"):
        power(basis, 3)
    exactly_singular = eigenbasis(np.zeros((2, 2)) + np.eye(2, k=1) * 1e-300)
    with pytest.raises(UserError, match="defective"):
        power(exactly_singular, 1)


def test_wrong_shapes_values_and_lags_are_refused():
    for shape in ((2, 3), (2, 2, 2)):
        with pytest.raises(UserError, match="square"):
            eigenbasis(np.zeros(shape))
    with pytest.raises(UserError, match="finite"):
        eigenbasis(np.full((2, 2), np.nan))
    for call in (lambda: power(eigenbasis(MATRIX), -1), lambda: log_component_moduli(eigenbasis(MATRIX), [2, -1])):
        with pytest.raises(UserError, match="not negative"):
            call()
