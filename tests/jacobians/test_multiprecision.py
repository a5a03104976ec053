"""Spectra in multiprecision against exact powers, also of products that float64 cannot resolve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import UserError
from rnnlm_jax.jacobians import product_spectrum, spectrum
from rnnlm_jax.jacobians.arithmetic import multiprecision
from rnnlm_jax.jacobians.products import step_jacobians
from tests.jacobians.exact import log_singular_values
from tests.jacobians.test_nearly_defective_products import log_singular_values_of_power


def in_multiprecision(matrices, **options):
    return product_spectrum(matrices, arithmetic="multiprecision", **options)


@pytest.mark.parametrize(("n", "steps"), [(8, 1000), (20, 500)])
def test_nearly_defective_products_are_right(n, steps):
    """In float64 they are off by 2 and by 80 nats."""
    result = in_multiprecision(np.broadcast_to(np.eye(n) / 2 + np.eye(n, k=1), (steps, n, n)))
    expected = log_singular_values_of_power(n, steps)
    assert result.trusted.all()
    np.testing.assert_allclose(result.log_singular_values, expected, rtol=3e-16)
    np.testing.assert_allclose(result.log_abs_det, n * steps * np.log(0.5), rtol=3e-16)
    assert (result.error <= 4e-16 * np.abs(expected)).all()


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_random_products_are_right(scale):
    matrices = np.random.default_rng(0).normal(size=(7, 5, 5)) * scale ** np.linspace(1, -1, 5)[:, None]
    result = in_multiprecision(matrices)
    np.testing.assert_allclose(result.log_singular_values, log_singular_values(matrices, 4000), rtol=3e-16, atol=1e-16)


def test_zeros_are_counted_exactly():
    """A product of rank 1 of factors without zero rows or columns, and a nilpotent product."""
    rng = np.random.default_rng(0)
    matrices = rng.integers(-3, 4, size=(6, 4, 4))
    matrices[2] = np.outer([1, 2, 3, 4], [1, -1, 2, 1])
    result = in_multiprecision(matrices)
    assert np.isneginf(result.log_singular_values).tolist() == [False, True, True, True]
    assert result.log_abs_det == -np.inf
    assert result.trusted.all()
    assert np.isneginf(in_multiprecision([np.eye(4, k=1)] * 4).log_singular_values).all()


def test_subnormal_numbers_are_not_taken_for_zeros():
    smallest = np.finfo(np.float64).smallest_subnormal
    result = in_multiprecision([[[smallest, 0], [0, 1]]])
    np.testing.assert_allclose(result.log_singular_values, [0, np.log(2.0) * -1074], rtol=3e-16, atol=1e-30)


def test_bits_are_added_until_the_bound_holds(monkeypatch):
    monkeypatch.setattr(multiprecision, "FIRST_BITS", 8)
    matrices = np.random.default_rng(0).normal(size=(20, 3, 3))
    np.testing.assert_allclose(
        in_multiprecision(matrices).log_singular_values, log_singular_values(matrices, 200), rtol=3e-16, atol=1e-16
    )


def test_products_with_a_factor_that_is_not_finite_are_nan():
    result = in_multiprecision([[[1.0, 2], [np.nan, 4]]])
    assert np.isnan(result.log_singular_values).all()
    assert np.isinf(result.error).all()
    assert not result.trusted.any()


def test_spectra_of_a_cell_at_several_lags():
    cell = cells.lstm(3)
    params = cell.init(jax.random.key(0), 2)
    arguments = params, cell.initial_state(()), jax.random.normal(jax.random.key(1), (9, 2))
    result = spectrum(cell, *arguments, lags=[9, 4], arithmetic="multiprecision")
    assert result.log_singular_values.dtype == np.float32
    factors = np.asarray(step_jacobians(cell, *arguments))
    for lag, values, error in zip((4, 9), result.log_singular_values, result.error, strict=True):
        expected = log_singular_values(factors[:lag], 200)
        assert (np.abs(values - expected) <= error).all()
        np.testing.assert_allclose(values, expected, rtol=2e-7, atol=1e-7)
    alone = spectrum(cell, *arguments, arithmetic="multiprecision", certify=False)
    np.testing.assert_array_equal(alone.log_singular_values[0], result.log_singular_values[1])
    assert np.isinf(alone.error).all()
    assert not alone.trusted.any()


def test_the_empty_product_is_the_identity():
    np.testing.assert_array_equal(in_multiprecision(np.zeros((0, 3, 3))).log_singular_values, 0)


def test_tracing_is_refused():
    with pytest.raises(UserError, match="on the host"):
        jax.jit(in_multiprecision)(jnp.ones((2, 3, 3)))
