"""Lyapunov exponents against closed forms, mean-field theory, and the determinants whose logs they sum to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import polygamma, psi

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.elman import ElmanParams, ElmanState
from rnnlm_jax.jacobians.lyapunov import (
    _standard_errors,
    kaplan_yorke_dimension,
    lyapunov_of_matrices,
    lyapunov_spectrum,
)
from rnnlm_jax.jacobians.tangent_frames import FrameLog, mean_exponents
from tests.unroll.programs import jit

STATIC = ("count", "burn_in", "qr_interval", "blocks")
OF_MATRICES = jit(lyapunov_of_matrices, static_argnames=STATIC)
OF_CELL = jit(lyapunov_spectrum, static_argnums=0, static_argnames=STATIC)
KEY = jax.random.key(7)


@functools.cache
def newman():
    """Return the exponents of 20000 random 8 × 8 factors with entries N(0, 1/8) (Newman 1986)."""
    draws = np.random.default_rng(0).normal(size=(20000, 8, 8)) / np.sqrt(8)
    return OF_MATRICES(jnp.asarray(draws), key=KEY)


def test_gaussian_products_have_newmans_exponents_and_errors():
    result, degrees = newman(), 8 - np.arange(8)  # r_kk² is chi squared with n - k + 1 of them, over n
    expected = 0.5 * (np.log(2 / 8) + psi(degrees / 2))
    assert (np.abs(result.exponents - expected) < 4 * result.standard_errors).all()
    np.testing.assert_allclose(result.standard_errors, np.sqrt(polygamma(1, degrees / 2) / 4 / 20000), rtol=0.25)
    np.testing.assert_allclose(result.exponents.sum(), result.mean_log_abs_det, rtol=0, atol=1e-10)
    assert result.steps == 20000


def test_a_constant_matrix_has_the_logs_of_its_eigenvalues():
    basis = np.random.default_rng(1).normal(size=(5, 5))
    a = basis @ np.diag([2.0, 1.2, 0.5, -0.3, 0.02]) @ np.linalg.inv(basis)
    expected = np.log([2.0, 1.2, 0.5, 0.3, 0.02])
    result = OF_MATRICES(constant(a), key=KEY, burn_in=120)
    np.testing.assert_allclose(result.exponents, expected, rtol=0, atol=1e-9)
    assert result.standard_errors.max() < 1e-9
    few = OF_MATRICES(constant(a), key=KEY, count=3, burn_in=120, qr_interval=3)
    np.testing.assert_allclose(few.exponents, expected[:3], rtol=0, atol=1e-9)
    assert few.mean_log_abs_det is None
    assert result.steps == few.steps == 120


def constant(a):
    return jnp.asarray(np.stack([a] * 240))


def random_network(g, units, seed=0):
    """Return ``h' = tanh(J h)`` with entries N(0, g²/N), which has the exponents of ``x' = J tanh x``."""
    rng = np.random.default_rng(seed)
    w = jnp.asarray(g * rng.normal(size=(units, units)) / np.sqrt(units))
    cell = cells.elman(units, bias=False, param_dtype="float64")
    return cell, ElmanParams(jnp.zeros((1, units)), w, None), ElmanState(jnp.asarray(rng.normal(size=units)))


@pytest.mark.parametrize(("g", "largest", "mean"), [(2.0, 0.15472, None), (3.0, 0.31025, -2.27281)])
def test_a_random_tanh_network_has_the_exponents_of_mean_field_theory(g, largest, mean):
    """At N = 200 the exponents scatter by 0.01 between matrices, and are 0.01 below those of infinite N."""
    cell, params, state = random_network(g, 200)
    result = OF_CELL(cell, params, state, jnp.zeros((2500, 1)), key=KEY, count=1, burn_in=500)
    np.testing.assert_allclose(result.exponents[0], largest, rtol=0, atol=0.03)
    assert 0 < result.standard_errors[0] < 0.01
    if mean is not None:
        np.testing.assert_allclose(result.mean_log_abs_det / 200, mean, rtol=0, atol=0.03)


def test_the_whole_spectrum_of_a_random_network():
    """The Kaplan-Yorke dimension divided by N is 0.28717 at N = 4096."""
    cell, params, state = random_network(3.0, 60)
    result = OF_CELL(cell, params, state, jnp.zeros((500, 1)), key=KEY, burn_in=100, qr_interval=2)
    np.testing.assert_allclose(result.kaplan_yorke_dimension / 60, 0.287, rtol=0, atol=0.05)
    # 1 - tanh² loses digits in the matrices
    np.testing.assert_allclose(result.exponents.sum(), result.mean_log_abs_det, rtol=0, atol=1e-8)
    assert (np.diff(result.exponents) <= 0).all()


MAKERS = {
    "lstm": lambda: cells.lstm(3, param_dtype="float64"),
    "gru": lambda: cells.gru(4, param_dtype="float64"),
    "stack": lambda: cells.stack(cells.lstm(2, param_dtype="float64"), cells.gru(2, param_dtype="float64")),
}


@pytest.mark.parametrize("name", MAKERS)
def test_exponents_sum_to_the_mean_log_determinant(name):
    cell, rng = MAKERS[name](), np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, 2), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    xs = jnp.asarray(rng.normal(size=(60, 2)))
    result = OF_CELL(cell, params, state, xs, key=KEY, burn_in=10, qr_interval=2)
    np.testing.assert_allclose(result.exponents.sum(), result.mean_log_abs_det, rtol=0, atol=1e-10)
    assert np.isfinite(result.exponents).all()
    assert result.steps == 50


def test_an_lstm_that_never_forgets_has_h_zero_exponents():
    """With f = 1, i = 0 and constant o, H exponents are 0 and H are -inf, and none is NaN."""
    cell = MAKERS["lstm"]()
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(lambda: cell.init(KEY, 2)))
    params = zeros._replace(b=jnp.concatenate([jnp.full(3, -1e3), jnp.full(3, 1e3), jnp.zeros(6)]))
    start = cell.initial_state(())._replace(cell=jnp.asarray([0.5, -1.0, 2.0]))
    result = OF_CELL(cell, params, start, jnp.zeros((60, 2)), key=KEY, burn_in=10, qr_interval=2)
    np.testing.assert_allclose(result.exponents[:3], np.zeros(3), rtol=0, atol=1e-14)
    assert (result.exponents[3:] == -np.inf).all()
    np.testing.assert_allclose(result.standard_errors, np.zeros(6), rtol=0, atol=1e-14)
    assert result.mean_log_abs_det == -np.inf
    assert result.kaplan_yorke_dimension in (0, 1, 2, 3)  # as zeros round


def test_orthogonal_matrices_have_zero_exponents():
    q = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))[0]
    result = OF_MATRICES(constant(q), key=KEY, burn_in=120)
    np.testing.assert_allclose(result.exponents, np.zeros(5), rtol=0, atol=1e-14)


def test_dead_units_have_exponents_of_minus_infinity():
    """Two of five ReLUs never fire, so two rows of every Jacobian are zero."""
    w = np.random.default_rng(5).normal(size=(5, 5))
    j = np.diag([1.0, 0.0, 1.0, 1.0, 0.0]) @ w
    result = OF_MATRICES(constant(j), key=KEY, burn_in=120)
    alive = np.sort(np.log(np.abs(np.linalg.eigvals(w[np.ix_([0, 2, 3], [0, 2, 3])]))))[::-1]
    assert (result.exponents[3:] == -np.inf).all()
    np.testing.assert_allclose(result.exponents[:3].sum(), alive.sum(), rtol=0, atol=1e-10)


def test_small_rows_keep_their_digits():
    """Rows of very different size, as saturated gates give; a QR without sorted rows loses the small ones."""
    rng = np.random.default_rng(6)
    scales = np.array([1e-30, 1.0, 1e-20, 1e-10, 1e-40])
    matrices = rng.normal(size=(240, 5, 5)) * scales[:, None]
    result = OF_MATRICES(jnp.asarray(matrices), key=KEY, burn_in=120)
    np.testing.assert_allclose(result.exponents.sum(), result.mean_log_abs_det, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([-0.1, -1.0], 0.0),
        ([0.0, -1.0], 1.0),
        ([0.9, 0.0, -14.57], 2 + 0.9 / 14.57),  # Lorenz
        ([1.0, -0.5, -2.0], 2.25),
        ([0.3, 0.2, -0.4], 3.0),
        ([0.3, -np.inf, -np.inf], 1.0),
        ([-np.inf], 0.0),
    ],
)
def test_kaplan_yorke_dimension(exponents, dimension):
    np.testing.assert_allclose(kaplan_yorke_dimension(jnp.asarray(exponents)), dimension, rtol=1e-15)


def test_float32_stays_float32():
    matrices = np.random.default_rng(0).normal(size=(240, 5, 5))
    expected = OF_MATRICES(jnp.asarray(matrices), key=KEY, burn_in=120)
    narrow = OF_MATRICES(jnp.asarray(matrices, jnp.float32), key=KEY, burn_in=120)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(narrow)} == {"float32", "int32", "bool"}
    np.testing.assert_allclose(narrow.exponents.sum(), expected.exponents.sum(), rtol=0, atol=1e-5)


def test_standard_errors_from_block_means():
    logs = jnp.asarray([[0.5, 0.5], [1.5, 0.5], [0.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(_standard_errors(logs, 4)[0], [np.sqrt(1 / 12), 0])
    np.testing.assert_allclose(_standard_errors(logs, 2)[0], [0, 0])
    np.testing.assert_allclose(_standard_errors(logs, 3)[0], [np.sqrt(1 / 9), 0])  # from the last three
    np.testing.assert_allclose(_standard_errors(logs[:1], 1)[0], [np.inf, np.inf])


def test_a_pivot_that_is_rarely_rounding_error_enters_the_mean():
    log_r = jnp.log(jnp.asarray([[1.0, 1e-20, 1e-20, 0.0]] + [[1.0, 1.0, 1e-20, 1.0]] * 9))
    result = mean_exponents(FrameLog(log_r, log_r < -30), 2)
    np.testing.assert_allclose(result, [0, np.log(1e-20) / 20, -np.inf, -np.inf])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qr_interval": 3}, "`qr_interval` 3 must divide both `burn_in` 0 and the 8 steps"),
        ({"qr_interval": 4, "burn_in": 2}, "`qr_interval` 4 must divide both `burn_in` 2"),
        ({"qr_interval": 0}, "`qr_interval` must be at least 1"),
        ({"burn_in": 8}, "`burn_in` must be at least 0 and below the 8 steps"),
        ({"count": 4}, "`count` must be between 1 and the 3 dimensions"),
        ({"blocks": 9}, "`blocks` must be between 2 and the 8 intervals"),
        ({"blocks": 1}, "`blocks` must be between 2 and the 8 intervals"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    cell = cells.elman(3)
    params = ElmanParams(jnp.zeros((1, 3)), jnp.zeros((3, 3)), None)
    with pytest.raises(UserError, match=message):
        lyapunov_of_matrices(jnp.zeros((8, 3, 3)), key=KEY, **options)
    with pytest.raises(UserError, match=message):
        lyapunov_spectrum(cell, params, cell.initial_state(()), jnp.zeros((8, 1), jnp.float32), key=KEY, **options)


def test_matrices_must_be_square():
    with pytest.raises(UserError, match="square"):
        lyapunov_of_matrices(jnp.zeros((8, 3, 2)), key=KEY)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.95, 0.98, 0.99, 0.999])
def test_standard_errors_of_correlated_steps(rho):
    """200 autoregressive series of 10,000 steps: the errors are within 20 % of the true one, or flagged."""
    steps, rng = 10_000, np.random.default_rng(3)
    series = lfilter([1.0], [1.0, -rho], rng.normal(size=(steps + 10_000, 200)), axis=0)[10_000:]
    errors, flagged = _standard_errors(jnp.asarray(series), 100)
    k = np.arange(1, steps)
    variance = (1 + 2 * ((1 - k / steps) * rho**k).sum()) / (1 - rho**2) / steps
    ratio = float(np.median(errors)) / np.sqrt(variance)
    if rho <= 0.99:
        assert 0.8 < ratio < 1.2, ratio
    assert flagged.mean() > 0.95 if rho > 0.99 else flagged.mean() < 0.3
    assert rho > 0.98 or not flagged.any()
