"""Derivatives of singular spectra: of matrices against mpmath, of cells against finite differences."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rnnlm_jax import cells, jacobians

T, N = 8, 3
RNG = np.random.default_rng(1)
RANDOM = RNG.normal(size=(T, N, N))
SCALES = np.where(RNG.random(T) < 0.5, 1e200, 1e-200)[:, None, None]


def with_zero_rows():
    matrices = RNG.normal(size=(T, N, N)) * np.exp([0.0, -3.0, -6.0])[:, None]
    matrices[2, 0] = 0
    matrices[5, :, 0] = 0
    return matrices


FAMILIES = {
    "random": RANDOM,
    "values e^200 apart": RANDOM * np.exp([0.0, -25.0, -50.0])[:, None],
    "factors of 1e200 and 1e-200": RANDOM * SCALES,
    "zero rows and columns": with_zero_rows(),
    "the first of rank one": np.concatenate([np.outer([1.0, 2, 3], [1.0, -1, 1])[None], RANDOM[1:]]),
    "the last of rank one": np.concatenate([RANDOM[1:], np.outer([1.0, 2, 3], [1.0, -1, 1])[None]]),
    "Jordan": np.stack([0.5 * np.eye(N) + np.eye(N, k=1)] * T),
}


def exactly(matrices, digits=400):
    """Return log values and ``u_iᵀ J_T ⋯ J_{t+1} ⊗ J_{t-1} ⋯ J_1 v_i / σ_i``, which is zero for values of -inf."""
    with mpmath.workdps(digits):
        factors = [mpmath.matrix(matrix.tolist()) for matrix in matrices]
        before, after = [mpmath.eye(N)], [mpmath.eye(N)]
        for factor in factors:
            before.append(factor * before[-1])
        for factor in factors[::-1]:
            after.append(after[-1] * factor)
        u, s, v = mpmath.svd_r(before[-1])
        values, slopes = np.full(N, -np.inf), np.zeros((N, T, N, N))
        for i in range(N):
            if s[i] < mpmath.mpf(10) ** (20 - digits) * s[0]:
                continue
            values[i] = float(mpmath.log(s[i]))
            for t in range(T):
                left, right = u[:, i].T * after[T - 1 - t], before[t] * v[i, :].T / s[i]
                slopes[i, t] = [[float(a * b) for b in right] for a in left]
    return values, slopes


@jax.jit
def slopes_of(matrices):
    def values(matrices):
        result = jacobians.product_spectrum(matrices, certify=False)
        return result.log_singular_values, (result.log_singular_values, result.log_abs_det)

    slopes, (logs, log_abs_det) = jax.jacrev(values, has_aux=True)(matrices)
    return logs, slopes, log_abs_det


@pytest.mark.parametrize("name", FAMILIES)
def test_derivatives_with_respect_to_every_factor(name):
    """Each entry relative to the largest for its value and factor; and the derivative along a factor itself is 1."""
    matrices = FAMILIES[name]
    values, expected = exactly(matrices)
    result, slopes, _ = slopes_of(matrices)
    np.testing.assert_allclose(result, values, rtol=1e-12)
    sizes = np.abs(expected).max(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(slopes / np.where(sizes, sizes, 1), expected / np.where(sizes, sizes, 1), atol=1e-9)
    euler = (np.asarray(slopes) * matrices).sum(axis=(2, 3))
    np.testing.assert_allclose(euler, np.broadcast_to(np.isfinite(values)[:, None], euler.shape), atol=1e-9)


def test_derivatives_are_nan_if_a_factor_is_not_finite():
    bad = RANDOM.copy()
    bad[3, 0, 0] = np.nan
    assert np.isnan(slopes_of(bad)[1]).all()


@pytest.mark.parametrize("make", [cells.lstm, cells.elman], ids=["lstm", "elman"])
def test_derivatives_with_respect_to_parameters_state_and_inputs(make):
    """At several lags, in both modes; those of the error bounds are 0."""
    cell = make(2, param_dtype="float64")
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), 2), cell.initial_state(())))
    rng = np.random.default_rng(0)
    point = (*jax.tree.map(lambda s: jnp.asarray(0.7 * rng.normal(size=s.shape)), shapes), rng.normal(size=(5, 2)))
    flat, unravel = ravel_pytree(point)

    def values(flat):
        result = jacobians.spectrum(cell, *unravel(flat), lags=[2, 5])
        return jnp.concatenate([result.log_singular_values.ravel(), result.log_abs_det, result.error.ravel()])

    direction, step = rng.normal(size=flat.shape), 1e-5
    pushed = jax.jit(lambda x: jax.jvp(values, (x,), (direction,)))
    value, moved = pushed(flat)
    count = value.size - 2 * jacobians.state_size(cell)
    expected = (pushed(flat + step * direction)[0] - pushed(flat - step * direction)[0]) / (2 * step)
    np.testing.assert_allclose(moved[:count], expected[:count], rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(moved[count:], 0)
    weights = rng.normal(size=value.shape)
    gradient = jax.jit(jax.grad(lambda x: values(x) @ weights))(flat)
    np.testing.assert_allclose(gradient @ direction, moved @ weights, rtol=1e-10)
