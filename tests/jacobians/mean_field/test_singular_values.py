"""Densities and moments of singular values: closed forms, and random matrices."""

import math

import numpy as np
import pytest
from scipy import stats

from rnnlm_jax import UserError
from rnnlm_jax.jacobians.mean_field import elman, singular_density, singular_moments

LINEAR = elman(0.9, "identity", input_variance=0.1)


def test_a_gaussian_matrix_has_the_quarter_circle():
    """σ/g has the density √(4 - σ²)/π on [0, 2]."""
    found = singular_density(LINEAR)
    sigma = np.exp(found.log_singular_values) / 0.9
    expected = sigma * np.sqrt(np.maximum(4 - sigma**2, 0)) / math.pi  # over ln σ
    np.testing.assert_allclose(found.density, expected, rtol=0, atol=1e-7)
    assert found.upper_edge == pytest.approx(math.log(1.8), rel=1e-12)
    assert found.mass_at_zero == 0


@pytest.mark.parametrize("depth", [1, 2, 20])
def test_powers_of_a_gaussian_matrix_have_fuss_catalan_moments(depth):
    """⟨σ²⟩ = g^2ℓ and ⟨σ⁴⟩ = (ℓ + 1) g^4ℓ; the largest value is g^ℓ √((ℓ + 1)^(ℓ+1)/ℓ^ℓ)."""
    mean, mean_square = singular_moments(LINEAR, depth)
    assert mean == pytest.approx(0.81**depth, rel=1e-12)
    assert mean_square == pytest.approx((depth + 1) * 0.81 ** (2 * depth), rel=1e-12)
    edge = depth * math.log(0.9) + 0.5 * ((depth + 1) * math.log(depth + 1) - depth * math.log(depth))
    found = singular_density(LINEAR, depth, log_singular_values=[0.0])
    assert found.upper_edge == pytest.approx(edge, rel=1e-9)


NETWORKS = {
    "tanh": elman(3.0),
    "sigmoid": elman(8.0, "sigmoid", input_variance=0.2),
    "relu": elman(1.2, "relu", input_variance=0.2),
}


@pytest.mark.parametrize("matrix", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("depth", [1, 2, 6])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_densities_have_the_moments(activation, depth, matrix):
    if (depth, matrix) == (1, "orthogonal"):
        return
    network = NETWORKS[activation]
    found = singular_density(network, depth, matrix)
    points = found.log_singular_values
    assert np.isfinite(found.density).all()
    moments = singular_moments(network, depth, matrix)
    squared = np.exp(2 * found.log_singular_values)
    assert np.trapezoid(found.density * squared, points) == pytest.approx(moments.mean, rel=0.02)
    assert np.trapezoid(found.density * squared**2, points) == pytest.approx(moments.mean_square, rel=0.02)
    assert found.mass_at_zero == pytest.approx(0.5 if activation == "relu" else 0.0, abs=1e-12)
    if activation == "relu":
        assert np.trapezoid(found.density, points) == pytest.approx(0.5, abs=5e-3)


@pytest.mark.parametrize("matrix", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(("activation", "depth"), [("tanh", 1), ("tanh", 4), ("relu", 3)])
def test_the_same_random_matrix_at_every_step_has_the_density(activation, depth, matrix):
    """Of 250 units: the shares of singular values below each number are within 0.03 of the theory."""
    if (depth, matrix) == (1, "orthogonal"):
        return
    network, units, rng = NETWORKS[activation], 250, np.random.default_rng(3)
    weights = rng.normal(size=(units, units)) / math.sqrt(units)
    if matrix == "orthogonal":
        weights = np.linalg.qr(weights)[0]
    quantiles = stats.norm.ppf((np.arange(units) + 0.5) / units)  # pre-activations without sampling noise
    product = np.eye(units)
    for _ in range(depth):
        slopes = network.phi.slope(math.sqrt(network.variance) * rng.permutation(quantiles))
        product = network.gain * slopes[:, None] * (weights @ product)
    sigma = np.sort(np.linalg.svd(product, compute_uv=False))
    theory = singular_density(network, depth, matrix)
    drawn = np.log(np.maximum(sigma, 1e-300)) > theory.log_singular_values[0]
    shares = (np.arange(units) + 0.5) / units
    expected = np.interp(np.log(sigma[drawn]), theory.log_singular_values, theory.cumulative())
    assert drawn.sum() > 0.4 * units
    assert np.abs(expected - shares[drawn]).max() < 0.03
    assert math.log(sigma[-1]) == pytest.approx(theory.upper_edge, abs=0.15)


ERRORS = {
    "depth": (lambda: singular_density(LINEAR, 0), "`depth`"),
    "matrix": (lambda: singular_moments(LINEAR, 1, "sparse"), "`matrix` must be one of gaussian, orthogonal"),
    "no gain": (lambda: singular_density(elman(0.0)), "`gain` is 0"),
    "one step": (lambda: singular_density(NETWORKS["tanh"], 1, "orthogonal"), r"are g\|φ'\|"),
    "equal": (lambda: singular_density(LINEAR, 3, "orthogonal"), "all equal"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_arguments_raise_an_error_of_one_line(case):
    call, pattern = ERRORS[case]
    with pytest.raises(UserError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)
