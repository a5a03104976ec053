"""Jacobians of cells that declare a diagonal or block structure, against closed forms, mpmath and the general path."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import cells, unroll
from rnnlm_jax.cells.cell import Cell, CellSpec
from rnnlm_jax.cells.cell_facts import CellFacts, JacobianStructure
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.jacobians import controlled, lyapunov_spectrum, spectrum, step_jacobian, step_log_abs_det
from rnnlm_jax.jacobians.certificate.certified_spectrum import Accuracy, ProductSpectrum
from rnnlm_jax.jacobians.certificate.merged_spectra import BoundedValues, bounds_of_blocks, merge
from rnnlm_jax.jacobians.log_determinant import LogSlopes, has_closed_form
from rnnlm_jax.jacobians.structured_spectra import spectra_of_diagonals
from tests.jacobians.exact import log_singular_values
from tests.unroll.programs import jit

D, H = 2, 3


class Blocks(NamedTuple):
    """A matrix for each block."""

    w: jax.Array


class Whole(NamedTuple):
    """A state of one leaf."""

    hidden: jax.Array


@functools.cache
def block_cell(size, *, rank=1, dtype="float64"):
    """A cell of H blocks of ``size`` numbers, ``s_k ← (1 + tanh(z)²) W_k s_k``, its state a vector or a matrix."""
    shape = (H * size,) if rank == 1 else (H, size)

    def as_blocks(leaf):
        flat = leaf.reshape(*leaf.shape[: leaf.ndim - rank], *((size, H) if rank == 1 else (H, size)))
        return flat.swapaxes(-1, -2) if rank == 1 else flat

    def whole_step(params, state, z):
        blocks = as_blocks(state.hidden)
        after = jnp.einsum("hij,...hj->...hi", params.w, blocks) * (1 + jnp.tanh(z[..., :1, None]) ** 2)
        after = after.swapaxes(-1, -2) if rank == 1 else after
        return Whole(after.reshape(state.hidden.shape))

    structure = JacobianStructure.DIAGONAL if size == 1 else JacobianStructure.BLOCK
    return Cell(
        spec=CellSpec("blocks", H, H, np.dtype(dtype), np.dtype(dtype)),
        init=lambda key, input_size: Blocks(jax.random.normal(key, (H, size, size), dtype)),
        initial_state=lambda batch_shape: Whole(jnp.zeros((*batch_shape, *shape), dtype)),
        input_projection=lambda params, x: x,
        readout=lambda params, state: as_blocks(state.hidden)[..., 0],
        whole_step=whole_step,
    ).with_facts(CellFacts(jacobian=structure))


def without_structure(cell):
    """The same cell without facts, which takes the general path."""
    return dataclasses.replace(cell)


def inputs(steps, dtype="float64", seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(steps, D)), dtype)


def minimal_gru(dtype, scale):
    """A minGRU whose update gates have pre-activations of about ``±scale``."""
    cell = cells.mingru(H, param_dtype=dtype)
    params = cell.init(jax.random.key(0), D)
    return cell, params._replace(b=params.b.at[:H].set(jnp.asarray(scale, dtype) * jnp.array([-1, 0, 1], dtype)))


@pytest.mark.parametrize(("dtype", "scale", "rtol"), [("float64", 2.0, 1e-14), ("float32", 300.0, 2e-7)])
def test_a_diagonal_spectrum_is_a_sum_of_logarithms(dtype, scale, rtol):
    """Of 2000 steps; slopes of e^-300 are zero in float32, and their products far below any float."""
    cell, params = minimal_gru(dtype, scale)
    xs, lags = inputs(2000, dtype), (1, 30, 2000)
    result = spectrum(cell, params, cell.initial_state(()), xs, lags=lags)
    u = np.asarray(cell.input_projection(params, xs)[:, :H], np.float64)
    with mpmath.workdps(40):
        logs = np.vectorize(lambda a: -mpmath.log1p(mpmath.exp(mpmath.mpf(float(a)))), otypes=[object])(u)
        expected = [np.sort((logs[:lag].sum(axis=0)).astype(float))[::-1] for lag in lags]
    np.testing.assert_allclose(result.log_singular_values, expected, rtol=rtol, atol=1e-30)
    np.testing.assert_allclose(result.log_abs_det, np.sum(expected, axis=1), rtol=rtol)
    assert result.trusted.all()
    if dtype == "float64":
        assert (np.abs(result.log_singular_values - np.array(expected)) <= result.error).all()
        assert (result.error <= 3e-15 * np.abs(expected)).all()
    else:
        assert result.log_singular_values[-1, -1] < -590_000


def test_zero_entries_give_minus_infinity_with_error_and_derivative_zero():
    cell = block_cell(1)
    params, state = Blocks(jnp.array([[[0.5]], [[0.0]], [[-2.0]]])), cell.initial_state(())

    def values(params):
        found = spectrum(cell, params, state, jnp.zeros((10, D)))
        return jnp.where(jnp.isfinite(found.log_singular_values), found.log_singular_values, 0).sum(), found

    gradient, found = jax.grad(values, has_aux=True)(params)
    np.testing.assert_allclose(found.log_singular_values[0], [10 * np.log(2), -10 * np.log(2), -np.inf], rtol=1e-15)
    assert found.trusted.all() and found.error[0, 2] == 0 and found.log_abs_det[0] == -np.inf
    np.testing.assert_allclose(gradient.w[:, 0, 0], [10 / 0.5, 0, -10 / 2], rtol=1e-14)


def test_entries_that_underflow_or_are_not_finite_bound_nothing():
    float64 = np.dtype("float64")

    def of(entries, unresolved):
        logs = jnp.log(jnp.asarray(entries))
        slopes = LogSlopes(logs, jnp.zeros(logs.shape, bool), jnp.asarray(unresolved))
        return spectra_of_diagonals(slopes, (2,), Accuracy(float64, float64, float64))

    entries = np.array([[2.0, 1e-38, 1.0], [3.0, 1.0, 1.0]])
    found = of(entries, entries < 1e-30)
    assert found.trusted[0].tolist() == [True, True, False] and found.error[0, 2] == np.inf
    np.testing.assert_allclose(found.log_singular_values[0], [np.log(6), 0, np.log(1e-38)], rtol=1e-15)
    found = of(np.where(entries == 3, np.nan, entries), entries < 0)
    assert found.trusted.tolist() == [[False] * 3]
    assert jnp.isnan(found.log_singular_values[0]).tolist() == [False, False, True]


def test_derivatives_of_a_diagonal_spectrum():
    """``d ln(1 - σ(u)) = -σ(u) du``, forward, reverse, under vmap and jit, and where x64 is off."""
    cell, params = minimal_gru("float32", 1.0)
    xs, state = inputs(40, "float32"), cell.initial_state(())

    def largest(b, xs):
        return spectrum(cell, params._replace(b=b), state, xs, certify=False).log_singular_values[0, 0]

    with jax.enable_x64(False):
        found = jax.jit(jax.vmap(jax.grad(largest), in_axes=(None, 0)))(params.b, jnp.stack([xs, 2 * xs]))
        tangent = jax.jvp(lambda b: largest(b, xs), (params.b,), (jnp.ones_like(params.b),))[1]
    for k, each in enumerate((xs, 2 * xs)):
        u = np.asarray(cell.input_projection(params, each)[:, :H], np.float64)
        sums = -np.log1p(np.exp(u)).sum(axis=0)
        expected = np.where(np.arange(2 * H) == sums.argmax(), -(1 / (1 + np.exp(-u))).sum(axis=0)[sums.argmax()], 0)
        np.testing.assert_allclose(found[k], expected, rtol=1e-5)
    np.testing.assert_allclose(tangent, found[0].sum(), rtol=1e-6)


def test_spectra_of_blocks():
    """Those of rotations ``ν e^{iθ}`` are ``ν^ℓ``, twice; others are exact integer products, block by block."""
    cell, lags = block_cell(2), (1, 40, 90)
    state, xs = Whole(jnp.ones(2 * H)), inputs(90)
    rng = np.random.default_rng(1)
    moduli = np.array([0.01, 0.7, 1.0])
    rotations = np.linalg.qr(rng.normal(size=(H, 2, 2)))[0] * moduli[:, None, None]
    shears = np.triu(rng.normal(size=(H, 2, 2))) * np.array([1e-3, 0.4, 1.0])[:, None, None]
    gains = 1 + np.tanh(np.asarray(xs[:, 0])) ** 2
    for w in (rotations, shears):
        found = spectrum(cell, Blocks(jnp.asarray(w)), state, xs, lags=lags)
        for row, lag in enumerate(lags):
            expected = np.repeat(lag * np.log(moduli), 2)
            if w is shears:
                expected = np.concatenate([log_singular_values(np.stack([block] * lag), 700) for block in w])
            expected = np.sort(expected + np.log(gains[:lag]).sum())[::-1]
            wrong = np.abs(found.log_singular_values[row] - expected)
            assert found.trusted[row].all() and (found.error[row] < 1e-10).all()
            assert (wrong <= found.error[row] + 1e-13 * np.abs(expected)).all()  # gains are rounded factors
        np.testing.assert_allclose(found.log_abs_det, found.log_singular_values.sum(axis=1), rtol=1e-12)


def test_derivatives_of_spectra_of_blocks():
    """Against those of LAPACK's SVD of the plain products, which are well-conditioned."""
    cell, steps = block_cell(2), 4
    params, state, xs = cell.init(jax.random.key(3), D), Whole(jnp.ones(2 * H)), inputs(steps)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=2 * H))

    def value(params):
        found = spectrum(cell, params, state, xs, certify=False)
        return (weights * found.log_singular_values[0]).sum() + found.log_abs_det[0] / 3

    def expected(params):
        logs = jnp.log(jnp.linalg.svd(functools.reduce(jnp.matmul, [params.w] * steps), compute_uv=False)).ravel()
        logs = logs + jnp.log(1 + jnp.tanh(xs[:, 0]) ** 2).sum()
        return (weights * -jnp.sort(-logs)).sum() + logs.sum() / 3

    found, gradient = jit(jax.value_and_grad(value))(params)
    wanted, wanted_gradient = jit(jax.value_and_grad(expected))(params)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(gradient.w, wanted_gradient.w, rtol=1e-9, atol=1e-12)


def test_the_window_of_a_feed_forward_network_closes_exactly():
    """A step shifts pending sums: slope φ' and 1, then φ' alone, then nothing is left, with certainty."""
    cell = cells.feed_forward(H, order=4, param_dtype="float64")
    params, xs, lags = cell.init(jax.random.key(0), D), inputs(3), (1, 2, 3)
    state = jax.tree.map(lambda a: a + 0.5, cell.initial_state(()))
    found = spectrum(cell, params, state, xs, lags=lags)
    _, hs = unroll(cell, params, state, xs)
    slopes = np.log(-np.sort(-(1 - np.asarray(hs) ** 2), axis=1))
    none = np.full(H, -np.inf)
    expected = np.array([[*np.zeros(H), *slopes[0], *none], [*slopes[1], *none, *none], [*none, *none, *none]])
    np.testing.assert_allclose(found.log_singular_values, expected, rtol=0, atol=1e-13)
    assert found.trusted.all() and (found.log_abs_det == -np.inf).all()
    general = spectrum(without_structure(cell), params, state, xs, lags=lags)
    np.testing.assert_allclose(found.log_singular_values, general.log_singular_values, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found.trusted, general.trusted)


def test_exponents_of_a_diagonal_cell_are_means_of_logarithms():
    cell, params = minimal_gru("float64", 2.0)
    xs, state = inputs(600), cell.initial_state(())
    logs = -np.log1p(np.exp(np.asarray(cell.input_projection(params, xs)[:, :H])))[100:]
    expected = np.sort(logs.mean(axis=0))[::-1]
    result = lyapunov_spectrum(cell, params, state, xs, key=jax.random.key(1), burn_in=100, qr_interval=5)
    np.testing.assert_allclose(result.exponents, expected, rtol=1e-13)
    np.testing.assert_allclose(result.mean_log_abs_det, expected.sum(), rtol=1e-13)
    scatter = logs.std(axis=0)[np.argsort(-logs.mean(axis=0))] / np.sqrt(500)  # inputs are independent
    np.testing.assert_allclose(result.standard_errors, scatter, rtol=0.5)
    largest = lyapunov_spectrum(cell, params, state, xs, key=jax.random.key(1), burn_in=100, qr_interval=5, count=1)
    np.testing.assert_array_equal(largest.exponents, result.exponents[:1])


def test_exponents_of_blocks_are_those_of_each_block():
    cell = block_cell(2)
    w = np.random.default_rng(4).normal(size=(H, 2, 2)) * np.array([1e-3, 1.0, 5.0])[:, None, None]
    w[0] = 0.6 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(w))).ravel())[::-1]
    xs = jnp.zeros((3000, D))
    result = lyapunov_spectrum(
        cell, Blocks(jnp.asarray(w)), cell.initial_state(()), xs, key=jax.random.key(0), burn_in=1000
    )
    np.testing.assert_allclose(result.exponents, expected, rtol=0, atol=2e-3)
    np.testing.assert_allclose(result.exponents.sum(), result.mean_log_abs_det, rtol=1e-12)


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (2, 1), (2, 2)])
def test_step_jacobians_and_determinants_of_states_of_any_rank(size, rank):
    cell = block_cell(size, rank=rank)
    params, batch = cell.init(jax.random.key(5), D), (2, 3)
    rng = np.random.default_rng(6)
    states = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), cell.initial_state(batch))
    zs = jnp.asarray(rng.normal(size=(*batch, D)))
    state, z = jax.tree.map(lambda a: a[1, 2], states), zs[1, 2]
    expected = autodiff_jacobian(cell, params, state, z)
    found = step_jacobian(cell, params, state, z)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)
    assert np.count_nonzero(found) == H * size**2
    determinants = step_log_abs_det(cell, params, states, zs)
    assert determinants.shape == batch and has_closed_form(cell) == (size == 1)
    np.testing.assert_allclose(determinants[1, 2], np.linalg.slogdet(expected)[1], rtol=1e-12)
    general = step_log_abs_det(without_structure(cell), params, states, zs)
    np.testing.assert_allclose(determinants, general, rtol=0, atol=1e-12)


def test_masks_and_resets_keep_the_structure():
    cell, params = minimal_gru("float64", 1.0)
    xs, state = inputs(6), cell.initial_state(())
    mask, resets = np.array([1, 0, 1, 1, 1, 1], bool), np.array([0, 0, 0, 0, 1, 0], bool)
    changed, inputs_with_flags = controlled(cell, xs, mask=mask, resets=resets)
    assert changed.facts.jacobian is JacobianStructure.DIAGONAL
    found = spectrum(changed, params, state, inputs_with_flags, lags=[2, 4, 5])
    expected = spectrum(cell, params, state, xs[mask], lags=[1, 3])
    np.testing.assert_allclose(found.log_singular_values[:2], expected.log_singular_values, rtol=1e-13)
    assert (found.log_singular_values[2] == -np.inf).all() and found.trusted.all()


def test_merged_bounds_hold_for_every_set_within_the_bounds():
    """Of all sets of numbers within the bounds, here the exact ones: also with values of which nothing is known."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        exact = -np.sort(-rng.normal(size=(4, 3)), axis=1)
        exact[rng.random(4) < 0.3, 2] = -np.inf
        error = rng.choice([1e-3, 0.3, np.inf], (4, 3))
        error[exact == -np.inf] = rng.choice([0, np.inf])
        off = np.where(np.isinf(error), 5.0, error) * rng.uniform(-1, 1, (4, 3))
        computed = np.where(error == 0, exact, np.where(np.isinf(exact), -np.inf, exact + off))
        spectra = ProductSpectrum(jnp.asarray(computed), jnp.zeros(4), jnp.asarray(error), jnp.zeros((4, 3), bool))
        values, bound = merge(jax.tree.map(jnp.ravel, bounds_of_blocks(spectra)))
        wanted = -np.sort(-exact.ravel())
        same = np.asarray(values) == wanted
        assert (same | (np.abs(np.where(same, 0, values) - np.where(same, 0, wanted)) <= bound * (1 + 1e-12))).all()


def test_a_value_of_unknown_size_does_not_spoil_those_above_it():
    values = jnp.array([[3.0, -np.inf], [2.0, 1.0]])
    error = jnp.array([[1e-9, np.inf], [1e-9, 1e-9]])
    spectra = ProductSpectrum(values, jnp.zeros(2), error, jnp.zeros((2, 2), bool))
    merged, bound = merge(jax.tree.map(jnp.ravel, bounds_of_blocks(spectra)))
    assert merged.tolist() == [3, 2, 1, -np.inf]
    np.testing.assert_allclose(bound, [1e-9, 1, 1, np.inf], rtol=1e-6)
    alone = BoundedValues(jnp.array([1.0, jnp.nan]), jnp.array([1.0, -jnp.inf]), jnp.array([1.0, jnp.inf]))
    assert merge(alone)[1].tolist() == [np.inf, np.inf]
