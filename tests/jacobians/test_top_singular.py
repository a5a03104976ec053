"""The largest singular triples, computed without a matrix, against those of dense products."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians import product_spectrum
from rnnlm_jax.jacobians.products import step_jacobians
from rnnlm_jax.jacobians.top_singular import top_singular
from tests.unroll.programs import jit

TOP = jit(top_singular, static_argnums=0, static_argnames=("k", "num_steps"))
SPECTRUM = jit(product_spectrum)
JACOBIANS = jit(step_jacobians, static_argnums=0)
KEY = jax.random.key(7)


@functools.cache
def run(dtype, forgetful):
    """Return the triples of an LSTM over 300 steps, and its Jacobians."""
    cell = cells.lstm(8, param_dtype=dtype)
    params = cell.init(jax.random.key(0), 3)
    scale, forget_bias = (0.1, -5.0) if forgetful else (1.0, 2.0)
    params = params._replace(w_h=scale * params.w_h, b=params.b.at[8:16].set(forget_bias))
    state = jax.tree.map(lambda a: a + jnp.asarray(0.3, dtype), cell.initial_state(()))
    xs = jax.random.normal(jax.random.key(1), (300, 3), dtype)
    with jax.numpy_dtype_promotion("strict"):
        result = TOP(cell, params, state, xs, k=3, key=KEY)
    return result, np.asarray(JACOBIANS(cell, params, state, xs), np.float64)


@functools.cache
def linear_top():
    """Return a function ``w [12, 12] -> four triples of w³`` with six steps of bidiagonalisation."""
    cell = cells.linear(12, param_dtype="float64")
    params, state = cell.init(jax.random.key(0), 2), cell.initial_state(())
    xs = jnp.zeros((3, 2))
    return jit(lambda w: top_singular(cell, params._replace(w_h=w.T), state, xs, k=4, key=KEY, num_steps=6))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("forgetful", [False, True])
def test_triples_of_a_long_product(dtype, tolerance, forgetful):
    """The forgetful network shrinks so fast that a plain product underflows."""
    result, jacobians = run(dtype, forgetful)
    assert result.log_singular_values.dtype == dtype
    product, scale = np.eye(16), 0.0
    for j in jacobians:
        product = j @ product
        norm = np.linalg.norm(product)
        product, scale = product / norm, scale + np.log(norm)
    u, values, vt = np.linalg.svd(product)
    logs = np.log(values) + scale
    assert logs[0] < -745 or not forgetful
    live = values > 10 * np.finfo(dtype).eps / tolerance  # the others are rounding errors
    count = min(3, int(live.sum()))
    assert count >= 1
    rounding = 300 * np.finfo(dtype).eps * abs(logs[0])
    np.testing.assert_allclose(
        result.log_singular_values[:count], logs[:count], rtol=0, atol=tolerance + (dtype == "float32") * rounding
    )
    for k in range(count):
        sign = np.sign(result.left[:, k] @ u[:, k])
        np.testing.assert_allclose(sign * result.left[:, k], u[:, k], rtol=0, atol=10 * tolerance)
        np.testing.assert_allclose(sign * result.right[:, k], vt[k], rtol=0, atol=10 * tolerance)
    assert (result.residual[:count] < 10 * tolerance).all()


def test_values_with_small_residuals_agree_with_the_graded_product():
    result, jacobians = run("float64", False)
    expected = SPECTRUM(jnp.asarray(jacobians)).log_singular_values
    within = np.asarray(result.residual) < 1e-8
    assert within.any()
    np.testing.assert_allclose(result.log_singular_values[within], expected[:3][within], rtol=0, atol=1e-10)


def test_residuals_are_those_of_the_dense_product_and_bound_the_error():
    """With too few steps to converge."""
    w = np.random.default_rng(0).normal(size=(12, 12)) / 3
    result = linear_top()(jnp.asarray(w))
    product = np.linalg.matrix_power(w, 3)
    values = np.exp(result.log_singular_values)
    forwards = np.linalg.norm(product @ result.right - result.left * values, axis=0)
    backwards = np.linalg.norm(product.T @ result.left - result.right * values, axis=0)
    np.testing.assert_allclose(result.residual, np.hypot(forwards, backwards) / values, rtol=1e-6, atol=1e-14)
    assert result.residual[-1] > 1e-2  # it has not converged
    exact = np.linalg.svd(product, compute_uv=False)
    nearest = np.abs(values[:, None] - exact).min(axis=1) / values
    assert (nearest <= np.asarray(result.residual) + 1e-14).all()
    for basis in (result.left, result.right):
        np.testing.assert_allclose(basis.T @ basis, np.eye(4), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "diagonal",
    [[0.5] * 12, [2.0] * 3 + [0.0] * 9, [2.0, 1.0] + [0.0] * 10, [0.0] * 12],
    ids=["multiple of the identity", "repeated values", "low rank", "zero"],
)
def test_the_iteration_continues_beyond_invariant_subspaces(diagonal):
    """A plain iteration divides by zero there, or continues with rounding errors and finds spurious values."""
    result = linear_top()(jnp.diag(jnp.asarray(diagonal)))
    values, residuals = np.asarray(result.log_singular_values), np.asarray(result.residual)
    live = np.asarray(diagonal[:4]) > 0
    np.testing.assert_allclose(values[live], 3 * np.log(np.asarray(diagonal[:4])[live]), rtol=0, atol=1e-13)
    assert (residuals[live] < 1e-12).all()
    if live.any():
        assert (values[~live] < values[0] - 34).all()
        assert (residuals[~live] > 0.5).all()  # a zero cannot be distinguished from rounding errors
    else:
        assert (values == -np.inf).all()


def test_no_matrix_of_size_n_by_n_is_stored():
    """Temporary memory is a few numbers per step and unit."""
    steps, size = 50, 256
    cell = cells.lstm(size, param_dtype="float64")
    params, state, key = jax.eval_shape(
        lambda: (cell.init(jax.random.key(0), 8), cell.initial_state(()), jax.random.key(0))
    )
    xs = jax.ShapeDtypeStruct((steps, 8), jnp.float64)
    compiled = TOP.lower(cell, params, state, xs, k=2, key=key, num_steps=12).compile()
    n = 2 * size
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * steps * n * 8 < n * n * 8


def test_wrong_numbers_and_batch_axes_are_refused():
    cell = cells.elman(8)
    params, state, xs = cell.init(jax.random.key(0), 3), cell.initial_state(()), jnp.zeros((4, 3))
    for k, num_steps in ((0, None), (9, None), (3, 2), (2, 9)):
        with pytest.raises(UserError, match="1 <= k <= num_steps <= 8"):
            top_singular(cell, params, state, xs, k=k, key=KEY, num_steps=num_steps)
    with pytest.raises(UserError, match="vmap over batch axes"):
        top_singular(cell, params, state, xs[:, None], k=1, key=KEY)
