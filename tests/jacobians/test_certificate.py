"""No trusted value is wrong: singular products, determinants out of range, values that are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.singular_products import HEALTHY, INTEGERS, SIZES, cast, draws, exact_values, filled, judge, networks
from rnnlm_jax import cells
from rnnlm_jax.jacobians import (
    eigenvalue_moduli,
    log_eigenvalue_moduli,
    lyapunov_of_matrices,
    product_spectrum,
    spectrum,
    step_log_abs_det,
    top_singular,
)
from rnnlm_jax.jacobians.arithmetic.norms import norm
from rnnlm_jax.jacobians.graded import products_at_lags
from rnnlm_jax.jacobians.products import scaled
from tests.jacobians import exact, public_functions
from tests.jacobians.test_eigenvalues import exact as exact_moduli

KEY = jax.random.key(7)

#: Row 3 is minus row 1.
SINGULAR = np.array([[[-7, -9, 8], [4, -7, 5], [7, 9, -8]]], np.float32)


def test_the_zero_of_an_exactly_singular_matrix_is_not_trusted():
    """Its least value may be computed as -inf or as rounding error; the others are right."""
    result = product_spectrum(SINGULAR)
    assert result.trusted.tolist() == [True, True, False]
    np.testing.assert_allclose(result.log_singular_values[:2], exact_values(SINGULAR)[:2], rtol=0, atol=1e-6)


def test_dependent_columns_beside_a_zero_row_have_trusted_values():
    """Rank 2: the second column is -2 times the third, and the first is independent of them."""
    matrices = filled(np.array([[[-2, 4, -2], [0, 0, 0], [0, 2, -1]]]))
    result = product_spectrum(matrices)
    np.testing.assert_allclose(result.log_singular_values, exact_values(matrices), rtol=0, atol=1e-12)
    assert result.trusted.all()


@pytest.mark.parametrize("arithmetic", ["float64", "float32"])
def test_no_trusted_value_of_random_products_is_wrong(arithmetic):
    """400 of the six thousand products of ``benchmarks.singular_products``."""
    counts = {"values": 0, "trusted": 0}
    for name, dtype, matrices in draws(np.random.default_rng(5), 400, False):
        if name.startswith("network") or (arithmetic == "float32" and name in ("any_size", "graded")):
            continue
        result = product_spectrum(np.asarray(matrices, np.float64), arithmetic=arithmetic)
        row = judge(result, exact_values(matrices), arithmetic)
        assert not row["trusted_and_wrong"], (name, dtype, matrices.tolist(), result)
        assert not row["beyond_bound"], (name, dtype, matrices.tolist(), result)
        counts = {key: counts[key] + row[key] for key in counts}
    assert counts["trusted"] > 0.7 * counts["values"]


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_products_are_trusted(name):
    """Also the values of -inf of nilpotent products."""
    rng = np.random.default_rng(3)
    for n in SIZES * 5:
        result = product_spectrum(HEALTHY[name](rng, n))
        assert result.trusted.all()


def test_networks_are_trusted():
    for matrices in networks(np.random.default_rng(0)).values():
        assert product_spectrum(matrices).trusted.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 2])
def test_products_with_a_factor_that_is_not_finite_are_not_trusted(bad, step):
    matrices = np.random.default_rng(0).normal(size=(4, 4, 4))
    matrices[step, 1, 2] = bad
    result = product_spectrum(matrices)
    assert not result.trusted.any()
    assert (result.error == np.inf).all()
    assert np.isnan(result.log_singular_values).all()
    assert np.isnan(result.log_abs_det)


def test_a_network_that_overflows_is_not_trusted():
    cell = cells.elman(4, "relu", param_dtype="float64")
    params = cell.init(KEY, 2)._replace(w_h=jnp.full((4, 4), jnp.nan))
    result = spectrum(cell, params, cell.initial_state(()), jnp.ones((3, 2)))
    assert not result.trusted.any()
    assert (result.error == np.inf).all()
    triples = top_singular(cell, params, cell.initial_state(()), jnp.ones((3, 2)), k=2, key=KEY)
    assert not (triples.residual < np.inf).any()


@pytest.mark.parametrize("size", [1e160, 1e-160, 1e300, 1e-300])
def test_matrices_whose_determinant_is_out_of_range(size):
    """``slogdet`` of a 2 × 2 matrix forms the determinant, which overflows or underflows here."""
    matrices = size * np.array([[[1.0, 1.0], [2.0, -1.0]]] * 4)
    result = product_spectrum(matrices)
    expected = exact_values(matrices)
    np.testing.assert_allclose(result.log_singular_values, expected, rtol=1e-14)
    np.testing.assert_allclose(result.log_abs_det, expected.sum(), rtol=1e-14)
    assert result.trusted.all()
    singular = product_spectrum(size * np.array([[[1.0, 3.0], [2.0, 6.0]]]))
    assert singular.trusted.tolist() == [True, False]
    exponents = lyapunov_of_matrices(matrices, key=KEY)
    np.testing.assert_allclose(exponents.exponents.sum(), expected.sum() / 4, rtol=1e-14)
    np.testing.assert_allclose(exponents.mean_log_abs_det, expected.sum() / 4, rtol=1e-14)
    moduli = log_eigenvalue_moduli(matrices)
    np.testing.assert_allclose(moduli.log_moduli, 4 * np.log(size) + 2 * np.log(3), rtol=1e-13)
    assert moduli.converged


def test_exponents_of_small_matrices_in_float32():
    """Ten times 1e-20 · [[2, 1], [1, 1]], whose determinant is 1e-40; also with a QR every five steps."""
    matrices = np.array([[[2, 1], [1, 1]]] * 10, np.float32) * np.float32(1e-20)
    for interval in (1, 5):
        result = lyapunov_of_matrices(matrices, key=KEY, qr_interval=interval)
        np.testing.assert_allclose(result.exponents.sum(), -40 * np.log(10), rtol=1e-5)
        np.testing.assert_allclose(result.mean_log_abs_det, -40 * np.log(10), rtol=1e-6)


def test_small_weights_in_float32():
    """Every function of a sequence of step Jacobians with entries of 1e-25."""
    cell, steps = cells.linear(4), 6
    w = np.float32(1e-25) * np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    params, state = cell.init(KEY, 2)._replace(w_h=jnp.asarray(w)), cell.initial_state(())
    xs = jnp.ones((steps, 2), jnp.float32)
    expected = exact.log_singular_values(np.stack([w.T] * steps).astype(np.float64), 400)
    np.testing.assert_allclose(spectrum(cell, params, state, xs).log_singular_values[0], expected, rtol=1e-6)
    triples = top_singular(cell, params, state, xs, k=2, key=KEY)
    np.testing.assert_allclose(triples.log_singular_values[0], expected[0], rtol=1e-5)
    zs = cell.input_projection(params, xs[0])
    log_det = np.linalg.slogdet(w.astype(np.float64) * 1e25)[1] - 100 * np.log(10)
    np.testing.assert_allclose(step_log_abs_det(cell, params, state, zs), log_det, rtol=1e-5)
    assert eigenvalue_moduli(cell, params, state, xs).converged


def test_norms_whose_squares_underflow():
    vectors = jnp.asarray([[3e-30, 4e-30], [3e30, 4e30], [0, 0]], jnp.float32)
    np.testing.assert_allclose(norm(vectors), [5e-30, 5e30, 0], rtol=1e-6)
    assert np.isnan(norm(jnp.asarray([jnp.nan, 1.0])))
    assert scaled(jnp.full((2, 2), 1e300)).log_scale == pytest.approx(300 * np.log(10) + np.log(2))


def test_subnormal_numbers_are_not_taken_for_zeros():
    """A processor may flush them to zero, so a value of -inf because of that is not trusted."""
    for tiny in (1e-310, 5e-324):
        result = product_spectrum(np.array([[[1.0, 0.0], [0.0, tiny]]]))
        assert result.trusted[0] and not result.trusted[1]
        result = product_spectrum(np.array([[[tiny, tiny], [tiny, -tiny]]]))
        assert not result.trusted.any() or result.log_singular_values[0] == pytest.approx(
            np.log(tiny * 2**0.5), abs=1e-6
        )


def test_converged_eigenvalues_of_integer_matrices_are_right():
    """Where all are said to have converged, all are within the tolerance."""
    rng, converged, count = np.random.default_rng(11), 0, 60
    for name, _, matrices in draws(rng, count, False)[:count]:
        if matrices.dtype.name not in INTEGERS:
            continue
        matrices = np.asarray(cast(matrices, "float64"))
        result, expected = log_eigenvalue_moduli(matrices), exact_moduli(matrices, 120)
        if result.converged:
            converged += 1
            np.testing.assert_allclose(
                result.log_moduli, expected, rtol=0, atol=1e-6, err_msg=f"{name} {matrices.tolist()}"
            )
    assert converged > 5


def test_a_double_zero_eigenvalue_by_cancellation_does_not_converge():
    """[[1, 1], [-1, -1]] has the eigenvalue 0 twice; neither can be proved in floating point."""
    result = log_eigenvalue_moduli(np.array([[[1, 1], [-1, -1]]]))
    assert not result.converged
    assert result.residual.max() == np.inf


def test_a_projected_cell_has_as_many_null_directions_as_its_projection_leaves_out():
    cell = cells.projected_lstm(4, projection_size=1, param_dtype="float64")
    params = cell.init(KEY, 3)
    xs = jax.random.normal(jax.random.key(1), (5, 3), jnp.float64)
    result = spectrum(cell, params, cell.initial_state(()), xs)
    assert (np.asarray(result.log_singular_values[0, -3:]) == -np.inf).all()
    assert result.trusted.all()
    assert (result.error[0, -3:] == 0).all()
    assert result.log_abs_det.tolist() == [-np.inf]


def test_without_a_certificate_the_values_are_the_same():
    params, state, _, xs, _ = public_functions.arrays()  # the certified program is that of other tests
    certified, alone = (
        spectrum(public_functions.CELL, params, state, xs, lags=[2, public_functions.T], certify=certify)
        for certify in (True, False)
    )
    np.testing.assert_allclose(alone.log_singular_values, certified.log_singular_values, rtol=1e-6)
    assert certified.trusted.all()
    assert not alone.trusted.any()
    assert np.isinf(alone.error).all()


def test_bounds_do_not_depend_on_the_partition_of_time(monkeypatch):
    """The bounds at several lags, in one segment and in many, are those of each product by itself."""
    cell = cells.elman(3, param_dtype="float64")
    params = jax.tree.map(lambda a: 2 * a, cell.init(jax.random.key(0), 2))
    arguments = cell, params, cell.initial_state(()), jax.random.normal(jax.random.key(1), (50, 2))
    alone = {lag: spectrum(*arguments, lags=[lag]) for lag in (5, 50)}
    together = [spectrum(*arguments, lags=[5, 50])]
    monkeypatch.setattr(products_at_lags, "RECORD_BYTES", 1 << 10)
    monkeypatch.setattr(products_at_lags, "CHUNK_ENTRIES", 40)
    # One lag more: the program above must not serve again.
    together.append(jax.tree.map(lambda a: a[1:], spectrum(*arguments, lags=[4, 5, 50])))
    for result in together:
        for at, expected in enumerate(alone.values()):
            # A bound is made of measured rounding errors, which differ where the compiler orders sums differently.
            np.testing.assert_allclose(result.error[at], expected.error[0], rtol=0.1)
            np.testing.assert_allclose(result.log_singular_values[at], expected.log_singular_values[0], rtol=1e-12)
        assert result.trusted.all()
