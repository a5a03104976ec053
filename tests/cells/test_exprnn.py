"""The orthogonal recurrent network: its singular values along training, modReLU, initial values, what it refuses."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.cells.exprnn import exponential, modrelu
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.jacobians.step_jacobian import autodiff_jacobian
from tests.unroll.programs import CELLS, assert_close, example, jit, random_arrays, random_weights, run_with_gradients

KEY = jax.random.key(0)


def singular_values(cell, params):
    return np.linalg.svd(np.asarray(cell.prepare(params).orthogonal, np.float64), compute_uv=False)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_matrix_is_the_exponential_of_a_skew_symmetric_one(scale):
    skew = scale * np.random.default_rng(0).standard_normal((5, 5))
    with mpmath.workdps(60):
        upper = np.triu(skew, 1)
        wanted = np.array(mpmath.expm(mpmath.matrix(upper - upper.T), method="taylor").tolist(), np.float64)
    np.testing.assert_allclose(exponential(jnp.asarray(skew)), wanted, atol=1e-15 * 10 * (1 + scale))


@pytest.mark.parametrize("skew_init", ["henaff", "cayley"])
@pytest.mark.parametrize("size", [1, 2, 7, 24])
def test_all_singular_values_are_one_at_first_and_after_training(size, skew_init):
    """With steps of gradient descent of length 3, so that A moves far; one unit has no rotation to train."""
    cell = cells.exprnn(size, skew_init=skew_init, param_dtype="float64")
    params = cell.init(KEY, 3)
    np.testing.assert_allclose(singular_values(cell, params), 1, rtol=0, atol=1e-12)
    state, xs = cell.initial_state((4,)), jax.random.normal(KEY, (6, 4, 3), jnp.float64)
    targets = jax.random.normal(jax.random.key(1), (6, 4, size), jnp.float64)
    gradient = jit(jax.grad(lambda params: jnp.sum((unroll(cell, params, state, xs)[1] - targets) ** 2)))
    start = params
    for _ in range(5):
        slope = gradient(params).skew
        params = params._replace(skew=params.skew - 3.0 * slope / max(1e-9, np.linalg.norm(slope)))
        np.testing.assert_allclose(singular_values(cell, params), 1, rtol=0, atol=1e-12)
    if size > 1:
        assert np.linalg.norm(params.skew - start.skew) > 1
    np.testing.assert_array_equal(np.tril(params.skew), 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-6), ("bfloat16", 2e-2)])
def test_singular_values_are_one_to_rounding_in_narrower_types(dtype, tolerance):
    cell = cells.exprnn(16, param_dtype=dtype)
    params = cell.init(KEY, 3)
    assert cell.prepare(params).orthogonal.dtype == dtype
    np.testing.assert_allclose(singular_values(cell, params), 1, atol=tolerance)


def test_a_matrix_beyond_the_range_of_the_exponential_is_nan():
    skew = jnp.zeros((2, 2)).at[0, 1].set(5.0 * 2.0**16)
    assert np.all(np.isfinite(exponential(skew)))
    assert np.all(np.isnan(exponential(3 * skew)))


def test_modrelu_shrinks_or_grows_the_magnitude_and_keeps_the_sign():
    a = jnp.asarray([-3.0, -0.2, 0.0, 0.2, 3.0])
    np.testing.assert_allclose(modrelu(a, jnp.full(5, -0.5)), [-2.5, 0, 0, 0, 2.5], atol=1e-15)
    np.testing.assert_allclose(modrelu(a, jnp.full(5, 0.5)), [-3.5, -0.7, 0, 0.7, 3.5], atol=1e-15)


def test_random_parameters_have_units_on_both_sides_of_the_threshold():
    """The comparisons with the reference and with central differences see both branches."""
    params, state, xs = random_arrays(CELLS["exprnn"], "exprnn")
    hs = np.asarray(unroll(CELLS["exprnn"], params, state, xs)[1])
    assert np.any(np.asarray(params.threshold) < 0)
    assert 0.02 < np.mean(hs == 0) < 0.5


@pytest.mark.parametrize("name", ["exprnn", "exprnn-tanh"])
def test_prepared_parameters_compute_the_same_and_are_prepared_once(name):
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    prepared = cell.prepare(params)
    assert cell.prepare(prepared) is prepared
    z = cell.input_projection(params, xs[0])
    assert_close(cell.input_projection(prepared, xs[0]), z, 0.0)
    assert_close(cell.step(prepared, state, z), cell.step(params, state, z), 1e-14)
    _, (gradient, _, _) = run_with_gradients(cell, params, state, xs, random_weights(cell, name))
    assert np.all(np.tril(gradient.skew) == 0)
    assert np.all(np.asarray(gradient.skew)[np.triu_indices(5, 1)] != 0)


def test_where_modrelu_is_active_the_step_is_an_isometry():
    cell = CELLS["exprnn"]
    params, state, xs = random_arrays(cell, "exprnn")
    params = params._replace(threshold=jnp.abs(params.threshold))
    jacobian = autodiff_jacobian(cell, params, example(state, 0), cell.input_projection(params, xs[0, 0]))
    np.testing.assert_allclose(np.linalg.svd(jacobian, compute_uv=False), 1, atol=1e-12)


@pytest.mark.parametrize("skew_init", ["henaff", "cayley"])
def test_initial_values_are_those_of_the_authors_code(skew_init):
    """Rotations of neighbouring units, whose angles have the named distribution; W_x from N(0, 2/D), c in ±0.01."""
    size, inputs = 401, 30
    cell = cells.exprnn(size, skew_init=skew_init, param_dtype="float64")
    params = cell.init(KEY, inputs)
    skew = np.asarray(params.skew)
    angles = skew[np.arange(0, size - 1, 2), np.arange(1, size, 2)]
    assert np.count_nonzero(skew) == angles.size == size // 2
    # The distribution function at the angles is uniform in [0, 1].
    u = (angles + np.pi) / (2 * np.pi) if skew_init == "henaff" else 2 * np.arctan(-angles) / (np.pi / 2)
    for uniform in (u, np.asarray(params.threshold) / 0.02 + 0.5):
        assert uniform.min() >= 0
        assert uniform.max() <= 1
        assert np.abs(np.sort(uniform) - np.linspace(0, 1, uniform.size)).max() < 1.95 / np.sqrt(uniform.size)
    z = np.asarray(params.w_x).ravel() / np.sqrt(2 / inputs)
    assert abs((z**2).mean() - 1) < 5 * np.sqrt(2 / z.size)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / z.size)
    assert params.b is None


def test_with_tanh_there_is_a_zero_bias_and_no_threshold():
    params = cells.exprnn(6, activation="tanh").init(KEY, 2)
    np.testing.assert_array_equal(params.b, np.zeros(6))
    assert params.threshold is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "`activation` must be one of modrelu, tanh, not 'relu'"),
        ({"skew_init": "haar"}, "`skew_init` must be one of henaff, cayley, not 'haar'"),
        ({"hidden_size": 0}, "`hidden_size` must be a positive whole number, not 0"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(ArgumentError) as caught:
        cells.exprnn(**{"hidden_size": 4, **options})
    assert str(caught.value) == message
