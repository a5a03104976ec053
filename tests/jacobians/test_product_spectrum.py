"""Spectra of long products against hundreds of digits and closed forms, and of exactly singular matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.state_jacobian import structured_jacobian
from rnnlm_jax.jacobians import product_spectrum, spectrum
from rnnlm_jax.jacobians.step_jacobian import jacobian_function
from rnnlm_jax.jacobians.trajectory import trajectory
from tests.jacobians import exact
from tests.unroll.programs import jit

PRODUCT_SPECTRUM = jit(product_spectrum)
IN_FLOAT32 = jit(functools.partial(product_spectrum, arithmetic="float32"))

#: Cells with 12 or 8 state dimensions.
NETWORKS = {
    "tanh": cells.elman(12, recurrent_init=jax.nn.initializers.normal(12**-0.5), param_dtype="float64"),
    "lstm": cells.lstm(6, param_dtype="float64"),
    "gru": cells.gru(8, param_dtype="float64"),
}


@functools.cache
def whole_sequence(name):
    """Return step Jacobians along 1000 random inputs, rounded to float32 so that both dtypes get the same matrices."""
    cell = NETWORKS[name]

    @jit
    def run():
        params = cell.init(jax.random.key(0), 3)
        zs = cell.input_projection(params, jax.random.normal(jax.random.key(1), (1000, 3), jnp.float64))

        def step(state, z):
            return cell.step(params, state, z), structured_jacobian(cell, params, state, z)

        state = jax.tree.map(lambda a: a + 0.1, cell.initial_state(()))
        return jax.lax.scan(step, state, zs)[1]

    return np.asarray(run(), np.float32)


def jacobians(name, steps):
    return whole_sequence(name)[:steps]


@functools.cache
def exactly(name, steps, digits):
    """Return the log singular values of the product of the first ``steps`` matrices, computed with ``digits``."""
    return exact.log_singular_values(jacobians(name, steps), digits)


def padded(matrices, dtype, steps=1000):
    """Append identities, which do not change the product, so that one program serves all lags."""
    n = matrices.shape[-1]
    rest = np.broadcast_to(np.eye(n), (steps - len(matrices), n, n))
    return jnp.asarray(np.concatenate([matrices, rest]), dtype)


def naive(matrices):
    """Return the log singular values of the plain product."""
    product = np.eye(matrices.shape[-1], dtype=matrices.dtype)
    for matrix in matrices:
        product = matrix @ product
    with np.errstate(divide="ignore"):
        return np.log(np.linalg.svd(product, compute_uv=False))


#: Lag; digits of the reference; nats that float64 and float32 may be off; values that a plain product gets right.
LAGS = [(20, 100, 1e-9, 1e-3, 11), (60, 200, 1e-9, 1e-3, 6), (150, 400, 1e-9, 1e-3, 5), (1000, 2400, 1e-8, 1e-2, 3)]


@pytest.mark.parametrize(
    ("lag", "digits", "in_float64", "in_float32", "plain"), LAGS, ids=[f"lag {row[0]}" for row in LAGS]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_value_is_right_at_every_lag(name, lag, digits, in_float64, in_float32, plain):
    matrices = jacobians(name, lag)
    expected = exactly(name, lag, digits)
    assert expected[0] - expected[-1] < 0.8 * digits * np.log(10)  # the reference has enough digits
    for dtype, allowed in ((np.float64, in_float64), (np.float32, in_float32)):
        result = PRODUCT_SPECTRUM(padded(matrices, dtype))
        assert result.log_singular_values.dtype == dtype
        np.testing.assert_allclose(result.log_singular_values, expected, rtol=0, atol=allowed)
        np.testing.assert_allclose(result.log_abs_det, expected.sum(), rtol=1e-6 if dtype == np.float32 else 1e-12)
        assert result.trusted.all()
        off = np.abs(np.asarray(result.log_singular_values, np.float64) - expected)
        assert (off <= result.error).all()
    right = np.abs(naive(matrices.astype(np.float64)) - expected) < 1e-6
    if name != "gru":  # its spread is small
        assert right.sum() <= plain < expected.size


@pytest.mark.parametrize(("lag", "digits", "allowed"), [(20, 100, 1e-3), (150, 400, 1e-3), (1000, 2400, 1e-2)])
def test_float32_arithmetic_is_enough_for_a_tanh_network(lag, digits, allowed):
    """A TPU has no wider dtype."""
    matrices = jacobians("tanh", lag)
    result, expected = IN_FLOAT32(padded(matrices, "float32")), exactly("tanh", lag, digits)
    np.testing.assert_allclose(result.log_singular_values, expected, atol=allowed)
    assert (np.abs(np.asarray(result.log_singular_values, np.float64) - expected) <= result.error).all()
    assert np.isfinite(result.error[:2]).all()  # the bound sums the largest error of every operation


@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
def test_ten_thousand_halves_are_right_to_the_last_digit(arithmetic):
    matrices = np.broadcast_to(0.5 * np.eye(2, dtype=arithmetic), (10_000, 2, 2))
    result = (PRODUCT_SPECTRUM if arithmetic == "float64" else IN_FLOAT32)(matrices)
    expected = np.dtype(arithmetic).type(-6931.47180559945309417)
    np.testing.assert_array_equal(result.log_singular_values, [expected, expected])
    np.testing.assert_array_max_ulp(np.asarray(result.log_abs_det), 2 * expected, 1)
    assert result.trusted.all() == (arithmetic == "float64")
    assert result.error.max() < (1e-10 if arithmetic == "float64" else 0.1)


def test_float64_is_used_where_x64_is_off():
    """For float32 matrices with an ill-conditioned step, values are right to 1e-4."""
    matrices = jacobians("lstm", 150)
    with jax.enable_x64(False):
        result = jit(product_spectrum)(jnp.asarray(matrices))
        assert result.log_singular_values.dtype == jnp.float32
    np.testing.assert_allclose(result.log_singular_values, exactly("lstm", 150, 400), rtol=0, atol=1e-4)


def test_orthogonal_matrices_have_all_values_one():
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))
    result = PRODUCT_SPECTRUM(padded(np.stack([q] * 200), "float64"))
    np.testing.assert_allclose(result.log_singular_values, np.zeros(12), rtol=0, atol=1e-12)


@pytest.mark.parametrize("lag", [1, 10, 100])
def test_transient_growth_of_a_non_normal_matrix(lag):
    a, b = 0.9, 1.0
    matrices = np.array([[[a, b], [0.0, a]]] * lag)
    result = PRODUCT_SPECTRUM(padded(matrices, "float64", 10_000))
    expected = exact.log_singular_values(matrices, 60)
    np.testing.assert_allclose(result.log_singular_values, expected, rtol=0, atol=1e-12)


def test_near_equal_values_are_resolved():
    rng = np.random.default_rng(2)
    u, v = (np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(2))
    logs = np.array([3.0, 3.0 - 1e-3, 3.0 - 2e-3, -40.0, -40.0 - 1e-6, -400.0])
    # the factor with tiny values is diagonal and the second: its entries are exact
    result = PRODUCT_SPECTRUM(jnp.asarray(np.stack([v, np.diag(np.exp(logs)), u, np.eye(6)])))
    np.testing.assert_allclose(result.log_singular_values, logs, rtol=0, atol=1e-12)
    assert result.error.max() < 1e-11


@pytest.mark.parametrize("kind", ["zero row", "zero column", "repeated column"])
def test_exactly_singular_factors_give_minus_infinity(kind):
    w = np.random.default_rng(3).normal(size=(6, 6))
    if kind == "zero row":
        w[2] = 0.0
    elif kind == "zero column":
        w[:, 4] = 0.0
    else:
        w[:, 4] = 2.0 * w[:, 1]
    result = PRODUCT_SPECTRUM(jnp.asarray(np.stack([w] * 4)))
    values = np.asarray(result.log_singular_values)
    assert values[-1] == -np.inf
    expected = np.log(np.linalg.svd(np.linalg.matrix_power(w, 4), compute_uv=False)[:5])
    np.testing.assert_allclose(values[:5], expected, rtol=0, atol=1e-6)
    assert not np.isnan(values).any()


def test_an_lstm_that_never_forgets_keeps_h_singular_values():
    """With f = 1 and i = 0, ∂c_i/∂c_j is the identity at any lag, and all else is zero."""
    cell = cells.lstm(3, param_dtype="float64")
    zeros = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), 2))
    params = zeros._replace(b=jnp.concatenate([jnp.full(3, -1e3), jnp.full(3, 1e3), jnp.zeros(6)]))
    state = cell.initial_state(())._replace(cell=jnp.asarray([0.5, -1.0, 2.0]))
    result = jit(lambda params: spectrum(cell, params, state, jnp.zeros((50, 2)), lags=(1, 50)))(params)
    live = np.asarray(result.log_singular_values)
    slope = 0.5 * (1 - np.tanh([0.5, -1.0, 2.0]) ** 2)  # of h' with respect to c
    expected = np.sort(0.5 * np.log(1 + slope**2))[::-1]
    for values in live:
        np.testing.assert_allclose(values[:3], expected, rtol=0, atol=1e-13)
        assert (values[3:] == -np.inf).all()


@pytest.mark.parametrize("make", [cells.lstm, cells.layer_norm_lstm], ids=lambda make: make.__name__)
def test_the_spectrum_of_a_cell_is_that_of_its_stored_jacobians(make):
    cell = make(4, param_dtype="float64")
    params = cell.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (12, 3), jnp.float64)
    start = jax.tree.map(lambda a: a + 0.1, cell.initial_state(()))

    @jit
    def stored(params, xs):
        zs = cell.input_projection(params, xs)
        before = trajectory(cell, params, start, zs).before
        return jax.vmap(jacobian_function(cell, params))(before, zs)

    matrices = stored(params, xs)
    result = jit(lambda params, xs: spectrum(cell, params, start, xs, lags=(12, 1, 5)))(params, xs)
    for row, lag in enumerate((1, 5, 12)):
        rest = jnp.broadcast_to(jnp.eye(8), (12 - lag, 8, 8))
        expected = PRODUCT_SPECTRUM(jnp.concatenate([matrices[:lag], rest]))
        # layer normalisation gives nearly singular matrices; their least values depend on every last bit
        np.testing.assert_allclose(
            result.log_singular_values[row], expected.log_singular_values, rtol=1e-10, atol=1e-10
        )
        np.testing.assert_allclose(result.log_abs_det[row], expected.log_abs_det, rtol=1e-10, atol=1e-10)


def test_the_determinant_of_an_lstm_at_lag_1000():
    """The closed form, computed without the matrices, is the sum of all log singular values to 1e-11."""
    cell = cells.lstm(6, param_dtype="float64")
    params = cell.init(jax.random.key(0), 3)
    xs = jax.random.normal(jax.random.key(1), (1000, 3), jnp.float64)
    result = jit(lambda xs: spectrum(cell, params, cell.initial_state(()), xs, lags=(500, 1000)))(xs)
    np.testing.assert_allclose(result.log_singular_values.sum(axis=1), result.log_abs_det, rtol=1e-11)
    assert result.trusted.all()


def test_lags_give_the_products_of_the_first_matrices():
    """Against hundreds of digits, in float64 and in multiprecision; under jit too."""
    matrices = jacobians("gru", 40)
    for found in (
        product_spectrum(matrices, lags=[40, 1, 7, 7]),
        jit(lambda matrices: product_spectrum(matrices, lags=(1, 7, 40)))(jnp.asarray(matrices)),
        product_spectrum(matrices, lags=(1, 7, 40), arithmetic="multiprecision"),
    ):
        assert found.log_singular_values.shape == found.error.shape == found.trusted.shape == (3, 8)
        assert found.trusted.all()
        for row, lag in enumerate((1, 7, 40)):
            expected = exactly("gru", lag, 400)
            np.testing.assert_allclose(found.log_singular_values[row], expected, rtol=2e-6, atol=1e-6)
            np.testing.assert_allclose(found.log_abs_det[row], expected.sum(), rtol=2e-6, atol=1e-6)


def test_wrong_shapes_and_lags_are_refused():
    with pytest.raises(UserError, match="square"):
        product_spectrum(jnp.zeros((3, 2, 4)))
    for lags in ((0,), (4,), ()):
        with pytest.raises(UserError, match="`lags` must lie between 1 and the 3 matrices"):
            product_spectrum(jnp.zeros((3, 2, 2)), lags=lags)
    with pytest.raises(UserError, match="`lags` must be whole numbers"):
        product_spectrum(jnp.zeros((3, 2, 2)), lags=[1.5])
    with pytest.raises(UserError, match="`lags` must lie between 1 and the 0 matrices"):
        product_spectrum(jnp.zeros((0, 2, 2)), lags=[1])
    cell = cells.elman(2)
    params = cell.init(jax.random.key(0), 2)
    for lags in ((0,), (-1,), (6,), ()):
        with pytest.raises(UserError, match="`lags` must lie between 1 and the 5 steps"):
            spectrum(cell, params, cell.initial_state(()), jnp.zeros((5, 2)), lags=lags)
