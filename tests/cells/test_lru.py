"""The LRU: its spectrum over any lag, its ring of eigenvalues, and its skip connection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from tests.cells import reference
from tests.unroll.programs import (
    assert_close,
    random_arrays,
    random_weights,
    run,
    run_with_gradients,
)

H, D, T = 5, 3, 12
CELL = cells.lru(H, param_dtype="float64")


def eigenvalues(params):
    return np.exp(-np.exp(np.asarray(params.log_nu)) + 1j * np.exp(np.asarray(params.log_theta)))


def complex_run(params, x):
    """The layer in complex numbers, summed over lags: ``y_t = Re Σ_ℓ C λ^ℓ γ B x_{t-ℓ} + D x_t``."""
    b = np.asarray(params.w_x)
    b = np.exp(np.asarray(params.log_gamma)) * (b[:, : b.shape[1] // 2] + 1j * b[:, b.shape[1] // 2 :])
    c = np.asarray(params.w_real) + 1j * np.asarray(params.w_imag)
    skip = np.asarray(params.w_skip)
    lam, x = eigenvalues(params), np.asarray(x)
    return np.stack(
        [
            sum((lam**lag * (x[t - lag] @ b)) @ c for lag in range(t + 1)).real
            + (skip * x[t] if skip.ndim == 1 else x[t] @ skip)
            for t in range(len(x))
        ]
    )


@pytest.mark.parametrize(("inputs", "outputs"), [(D, H), (H, H), (D, 2), (2, 2)])
def test_outputs_are_the_sum_over_lags_of_powers_of_the_eigenvalues(inputs, outputs):
    cell = cells.lru(H, outputs, param_dtype="float64")
    params, _, xs = random_arrays(cell, "lru lags", input_size=inputs, steps=T)
    assert params.w_skip.shape == ((outputs,) if inputs == outputs else (inputs, outputs))
    weights = random_weights(cell, "lru lags", steps=T)
    state = cell.initial_state(xs.shape[1:2])
    (_, hs), gradients = run_with_gradients(cell, params, state, xs, weights, executor="structured")
    np.testing.assert_allclose(hs[:, 1], complex_run(params, xs[:, 1]), rtol=0, atol=1e-12)
    assert_close(gradients, run_with_gradients(cell, params, state, xs, weights, executor="scan")[1])
    np.testing.assert_allclose(hs, reference.run("lru", params, state, xs)[1], rtol=0, atol=1e-12)


def test_the_spectrum_of_a_lag_is_the_power_of_the_eigenvalues():
    """Exactly ``|λ|^ℓ``, twice each, whatever the text is; and its eigenvalues are ``λ^ℓ`` and their conjugates."""
    params, state, xs = random_arrays(CELL, "lru spectrum", batch=(), steps=T)
    for lag in (1, 7, T):
        scale, matrix = jacobians.state_product(CELL, params, state, xs, i=lag, j=0)
        matrix = np.exp(scale) * np.asarray(matrix)
        wanted = eigenvalues(params) ** lag
        pairs = np.concatenate([wanted, wanted.conj()])
        singular = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(singular, np.sort(np.abs(pairs))[::-1], rtol=1e-9)
        found = np.linalg.eigvals(matrix)
        for eigenvalue in pairs:
            assert np.abs(found - eigenvalue).min() < 1e-12


def test_eigenvalues_are_uniform_in_the_ring():
    """Kolmogorov-Smirnov distances of the radii squared and of the phases, of 20,000 draws."""
    count, low, high, phase = 20_000, 0.4, 0.9, 1.5
    cell = cells.lru(count, 1, r_min=low, r_max=high, max_phase=phase, param_dtype="float64")
    lam = eigenvalues(cell.init(jax.random.key(0), 1))
    assert np.abs(lam).min() >= low
    assert np.abs(lam).max() <= high
    for sample in ((np.abs(lam) ** 2 - low**2) / (high**2 - low**2), np.angle(lam) / phase):
        distance = np.abs(np.sort(sample) - np.linspace(0, 1, count)).max()
        assert distance < 1.95 / np.sqrt(count)  # exceeded by one draw of a thousand


def test_initial_scales():
    """γ is ``√(1 - |λ|²)``; B, C and D have the variances of the paper's code."""
    size, inputs = 300, 200
    params = cells.lru(size, param_dtype="float64").init(jax.random.key(1), inputs)
    gamma = np.sqrt(1 - np.abs(eigenvalues(params)) ** 2)
    np.testing.assert_allclose(np.exp(params.log_gamma), gamma, rtol=1e-9)
    for w, variance in (
        (params.w_x, 1 / (2 * inputs)),
        (params.w_real, 1 / size),
        (params.w_imag, 1 / size),
        (params.w_skip, 1 / inputs),
    ):
        assert np.var(w) == pytest.approx(variance, rel=0.03)
    diagonal = cells.lru(4000, 4000 // 2, param_dtype="float64").init(jax.random.key(1), 2000).w_skip
    assert diagonal.shape == (2000,)
    assert np.var(diagonal) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_default_ring_is_the_whole_disc_and_finite(dtype):
    params = cells.lru(5000, 1, param_dtype=dtype).init(jax.random.key(2), 1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    narrow = cells.lru(5000, 1, r_min=1 - 1e-7, param_dtype=dtype).init(jax.random.key(2), 1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(narrow))
    assert len(np.unique(narrow.log_nu)) > 4000  # radii that round to 1 keep different rates of decay


def test_products_in_half_precision_keep_a_state_in_float32():
    cell = cells.lru(H, dtype="bfloat16")
    wide = cells.lru(H)
    params = wide.init(jax.random.key(0), H)
    xs = jax.random.normal(jax.random.key(1), (T, 2, H), jnp.float32)
    state, hs = run(cell, params, cell.initial_state((2,)), xs)
    assert {leaf.dtype for leaf in jax.tree.leaves((state, hs))} == {np.dtype("float32")}
    np.testing.assert_allclose(hs, run(wide, params, wide.initial_state((2,)), xs)[1], atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_min": 0.9, "r_max": 0.5}, "`r_min` and `r_max` must satisfy 0 <= r_min < r_max <= 1, not 0.9 and 0.5"),
        ({"r_max": 1.1}, "`r_min` and `r_max` must satisfy"),
        ({"r_min": -0.1}, "`r_min` and `r_max` must satisfy"),
        ({"r_min": "low"}, "`r_min` must be a"),
        ({"max_phase": 0.0}, "`max_phase` must be above 0 and at most 2π, not 0.0"),
        ({"max_phase": 360.0}, "`max_phase` must be above 0 and at most 2π, not 360.0: it is in radians"),
        ({"output_size": 0}, "`output_size` must be a positive whole number, not 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message) as caught:
        cells.lru(H, **options)
    assert "\n" not in str(caught.value)
