"""Singular vectors of products at several lags: against NumPy, and where a plain product has lost them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from rnnlm_jax.cells.elman import ElmanParams
from rnnlm_jax.jacobians.products import step_jacobians
from tests.unroll.programs import jit

KEY, D, T = jax.random.key(0), 2, 7
FIND = jit(jacobians.singular_vectors, static_argnums=0, static_argnames=("lags", "k", "to_end", "arithmetic"))


def same_lines(found, expected):
    return np.abs((np.asarray(found) * expected).sum(axis=-2))


@pytest.mark.parametrize("to_end", [False, True])
def test_vectors_are_those_of_the_product(to_end):
    cell, rng = cells.lstm(2, param_dtype="float64"), np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    xs = jnp.asarray(rng.normal(size=(T, D)))
    found = FIND(cell, params, state, xs, lags=(1, 3, 6), k=2, to_end=to_end)
    matrices = np.asarray(step_jacobians(cell, params, state, xs))
    left, right = [], []
    for row, lag in enumerate((1, 3, 6)):
        product = np.linalg.multi_dot([np.eye(4), *(matrices[T - lag :] if to_end else matrices[:lag])[::-1]])
        u, s, vt = np.linalg.svd(product)
        np.testing.assert_allclose(found.log_singular_values[row], np.log(s), rtol=0, atol=1e-9)
        np.testing.assert_allclose(same_lines(found.left[row], u[:, :2]), 1, rtol=1e-12)
        np.testing.assert_allclose(same_lines(found.right[row], vt[:2].T), 1, rtol=1e-12)
        left.append(u[:, :2])
        right.append(vt[:2].T)
    for sets, result in ((left, found.left_alignment()), (right, found.right_alignment())):
        cosines = [[np.linalg.svd(a.T @ b, compute_uv=False) for b in sets] for a in sets]
        np.testing.assert_allclose(result, np.square(cosines).mean(axis=-1), rtol=1e-10)


@pytest.mark.parametrize("to_end", [False, True])
def test_vectors_of_values_beyond_the_range_of_the_dtype(to_end):
    """Powers ``B D^ℓ B⁻¹``: spaces of right vectors tend to those of ``B⁻ᵀ``, of left ones to those of B."""
    cell, rng = cells.linear(4), np.random.default_rng(3)
    basis = rng.normal(size=(4, 4)) + 2 * np.eye(4)
    matrix = basis @ np.diag([1.1, 0.5, 0.1, 0.02]) @ np.linalg.inv(basis)
    params = ElmanParams(jnp.zeros((1, 4), jnp.float32), jnp.asarray(matrix.T, jnp.float32), jnp.zeros(4, jnp.float32))
    state, xs = cell.initial_state(()), jnp.zeros((300, 1), jnp.float32)
    found = FIND(cell, params, state, xs, lags=(100, 300), k=3, to_end=to_end)
    assert found.left.dtype == jnp.float32
    assert found.log_singular_values[1, 2] < -650  # 250 decimal digits below the largest
    for k in range(1, 4):
        u, v = (np.linalg.qr(part)[0][:, :k] for part in (basis, np.linalg.inv(basis).T))
        for vectors, expected in ((found.left, u), (found.right, v)):
            overlaps = np.linalg.svd(expected.T @ np.asarray(vectors[1, :, :k]), compute_uv=False)
            np.testing.assert_allclose(overlaps, np.ones(k), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.right_alignment(), np.ones((2, 2)), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.left_alignment(), np.ones((2, 2)), rtol=0, atol=1e-5)


def test_vectors_of_zeros_are_nan():
    cell = cells.linear(2, param_dtype="float64")
    params = ElmanParams(jnp.zeros((1, 2)), jnp.asarray([[0.5, 0.0], [0.0, 0.0]]), jnp.zeros(2))
    found = FIND(cell, params, cell.initial_state(()), jnp.zeros((5, 1)), lags=(4,), k=2)
    np.testing.assert_allclose(found.log_singular_values, [[4 * np.log(0.5), -np.inf]], rtol=1e-12)
    np.testing.assert_allclose(np.abs(found.left[0]), [[1, np.nan], [0, np.nan]], atol=1e-15)
    np.testing.assert_allclose(np.abs(found.right[0]), [[1, np.nan], [0, np.nan]], atol=1e-15)


def test_options_out_of_range_are_refused():
    cell = cells.elman(3)
    with pytest.raises(UserError, match="`k` must be between 1 and the 3"):
        jacobians.singular_vectors(cell, None, cell.initial_state(()), jnp.zeros((5, 1)), lags=(2,), k=4)
    with pytest.raises(UserError, match="`lags` must lie between 1 and the 5"):
        jacobians.singular_vectors(cell, None, cell.initial_state(()), jnp.zeros((5, 1)), lags=(6,))
