"""Laws of gated step Jacobians: the special cases without gates, and random matrices."""

import math

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.jacobians.mean_field import StepLaw, elman, gru, singular_density, singular_moments


def law_of(within, noise):
    """A law of equal weights from A and Σ as lists of P × P values."""
    return StepLaw(np.asarray(within, float), np.asarray(noise, float), np.full(len(within), 1 / len(within)))


def test_a_law_without_gates_is_that_of_an_elman_network():
    network = elman(3.0)
    values, weights = network.slopes()
    keep = slice(None, None, 1)
    law = StepLaw(np.zeros((len(values), 1, 1)), 9 * values[keep, None, None], weights)
    assert law.chi == pytest.approx(network.chi, rel=1e-12)
    np.testing.assert_allclose(law.singular_moments(), singular_moments(network), rtol=1e-12)
    assert law.spectral_radius() == pytest.approx(math.sqrt(network.chi), rel=1e-9)
    small = law_of(np.zeros((1, 1, 1)), np.full((1, 1, 1), 0.81))
    points = np.linspace(-3, 0.4, 30)
    found = small.singular_density(points).density
    expected = singular_density(elman(0.9, "identity"), log_singular_values=points).density
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


def test_units_without_slope_have_singular_values_of_zero():
    law = law_of(np.zeros((2, 1, 1)), [[[0.0]], [[1.0]]])
    points = np.linspace(-3, 1, 40)
    found = law.singular_density(points)
    assert found.mass_at_zero == pytest.approx(0.5, rel=1e-12)
    expected = singular_density(elman(1.0, "relu"), log_singular_values=points)
    np.testing.assert_allclose(found.density, expected.density, rtol=0, atol=2e-3)


def test_equal_gates_shift_the_disc_of_eigenvalues():
    """``a I + s G`` has eigenvalues in the disc of radius s about a."""
    law = law_of(np.full((1, 1, 1), 0.6), np.full((1, 1, 1), 0.09))
    assert law.spectral_radius() == pytest.approx(0.9, rel=1e-9)
    assert law.feedback(1.0) == pytest.approx(0.09 / 0.16, rel=1e-12)
    assert law_of(np.full((1, 1, 1), 0.6), np.zeros((1, 1, 1))).spectral_radius() == 0.6


@pytest.mark.parametrize("parts", [1, 2])
def test_random_matrices_have_the_moments_density_and_radius(parts):
    units, rng = 150, np.random.default_rng(parts)
    keep = 1 / (1 + np.exp(-rng.permutation(np.linspace(-2, 1, units))))
    strength = 0.3 + 1.2 * rng.permutation(np.linspace(0, 1, units))
    read = 0.2 + 0.5 * rng.permutation(np.linspace(0, 1, units))
    into_cell = strength[:, None] * rng.normal(size=(units, units)) / math.sqrt(units)
    if parts == 1:
        jacobian = np.diag(keep) + into_cell
        law = law_of(keep[:, None, None], strength[:, None, None] ** 2)
    else:
        into_hidden = read[:, None] * into_cell + 0.5 * rng.normal(size=(units, units)) / math.sqrt(units)
        jacobian = np.block([[into_hidden, np.diag(read * keep)], [into_cell, np.diag(keep)]])
        within = [[[0, e * f], [0, f]] for e, f in zip(read, keep, strict=True)]
        noise = [[[e**2 * s**2 + 0.25, e * s**2], [e * s**2, s**2]] for e, s in zip(read, strength, strict=True)]
        law = law_of(within, noise)
    sigma = np.sort(np.linalg.svd(jacobian, compute_uv=False))
    moments = law.singular_moments()
    assert np.mean(sigma**2) == pytest.approx(moments.mean, rel=0.04)
    assert np.mean(sigma**4) == pytest.approx(moments.mean_square, rel=0.1)
    found = law.singular_density(np.linspace(-5, 1.3, 30))
    assert np.isfinite(found.density).all()
    drawn = np.log(sigma) > found.log_singular_values[0]
    shares = (np.arange(len(sigma)) + 0.5) / len(sigma)
    expected = np.interp(np.log(sigma), found.log_singular_values, found.cumulative())
    assert np.abs(expected - shares)[drawn].max() < 0.04
    assert np.abs(np.linalg.eigvals(jacobian)).max() == pytest.approx(law.spectral_radius(), rel=0.12)


def test_a_density_that_cannot_be_resolved_is_an_error():
    with pytest.raises(UserError, match="peaks as narrow as the spacing"):
        gru(1.0, update_bias=5.0, bias_variance=0.3).law.singular_density()


def test_a_law_without_noise_has_no_density():
    with pytest.raises(UserError, match="no unit reads another"):
        law_of(np.full((1, 1, 1), 0.6), np.zeros((1, 1, 1))).singular_density()
