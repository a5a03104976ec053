"""Moduli of the eigenvalues of long products against mpmath's for the same matrices."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians import eigenvalues
from rnnlm_jax.jacobians.eigenvalues import eigenvalue_moduli, log_eigenvalue_moduli


def tanh_network(steps, size=6, seed=0, gain=1.0):
    """Return Jacobians of a random tanh network ``[steps, size, size]``."""
    rng = np.random.default_rng(seed)
    w = gain * rng.normal(size=(size, size)) / np.sqrt(size)
    h, matrices = rng.normal(size=size), []
    for _ in range(steps):
        h = np.tanh(w @ h + rng.normal(size=size))
        matrices.append((1 - h * h)[:, None] * w)
    return np.stack(matrices)


def exact(matrices, digits):
    """Return ``ln|λ|`` of the product, descending; moduli below 10^(20 - digits) times the largest count as zero."""
    with mpmath.workdps(digits):
        product = mpmath.eye(matrices.shape[-1])
        for matrix in np.asarray(matrices, np.float64):
            product = mpmath.matrix(matrix.tolist()) * product
        moduli = [abs(value) for value in mpmath.eig(product, left=False, right=False)]
        least = max(moduli) * mpmath.mpf(10) ** (20 - digits)
        return np.sort([float(mpmath.log(m)) if m > least else -np.inf for m in moduli])[::-1]


@pytest.mark.parametrize(("steps", "gain", "spread"), [(1, 1.0, 5), (5, 1.0, 10), (40, 1.0, 70), (120, 3.0, 400)])
def test_every_modulus_is_right(steps, gain, spread):
    matrices = tanh_network(steps, gain=gain)
    expected = exact(matrices, 60 + 2 * spread)
    assert expected[0] - expected[-1] > 0.9 * spread  # a float64 product holds 36 nats
    result = log_eigenvalue_moduli(jnp.asarray(matrices))
    np.testing.assert_allclose(result.log_moduli, expected, rtol=0, atol=2e-12)
    assert result.converged
    assert (np.abs(result.log_moduli - expected) <= 20 * result.residual).all()
    assert result.residual.max() < 1e-9


def test_float32_matrices_and_float32_arithmetic():
    matrices = tanh_network(40).astype(np.float32)
    expected = exact(matrices, 160)
    with jax.numpy_dtype_promotion("strict"):
        result = log_eigenvalue_moduli(jnp.asarray(matrices))
        coarse = log_eigenvalue_moduli(jnp.asarray(matrices), arithmetic="float32")
    np.testing.assert_allclose(result.log_moduli, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(coarse.log_moduli, expected, rtol=0, atol=1e-3)
    assert coarse.residual.max() > 1e3 * result.residual.max()


def test_moduli_of_complex_pairs():
    """Two pairs of one modulus each and two real ones, in a basis that is not orthogonal."""
    lag = 40
    basis = np.random.default_rng(0).normal(size=(6, 6))
    blocks = np.diag([0, 0, 0, 0, 0.9, 0.2])
    for k, modulus, angle in ((0, 2.0, 0.3), (2, 1.0, 1.4)):
        c, s = modulus * np.cos(angle), modulus * np.sin(angle)
        blocks[k : k + 2, k : k + 2] = [[c, -s], [s, c]]
    matrix = basis @ blocks @ np.linalg.inv(basis)
    result = log_eigenvalue_moduli(jnp.asarray(np.stack([matrix] * lag)))
    np.testing.assert_allclose(result.log_moduli, exact(np.stack([matrix] * lag), 100), rtol=0, atol=1e-11)
    rates = np.log([2, 2, 1, 1, 0.9, 0.2])
    np.testing.assert_allclose(result.log_moduli, lag * rates, rtol=0, atol=1e-12 * lag)
    assert result.converged


def test_equal_moduli_converge_in_one_block():
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    result = log_eigenvalue_moduli(jnp.asarray(np.stack([q] * 40)))
    np.testing.assert_allclose(result.log_moduli, np.zeros(6), rtol=0, atol=1e-13)
    assert result.converged


def test_log_moduli_sum_to_the_log_determinant():
    matrices = tanh_network(10, size=25)
    result = log_eigenvalue_moduli(jnp.asarray(matrices))
    log_dets = np.linalg.slogdet(matrices)[1]
    np.testing.assert_allclose(result.log_moduli.sum(), log_dets.sum(), rtol=1e-13)
    assert result.converged
    assert (np.diff(result.log_moduli) <= 0).all()


@pytest.mark.parametrize("kind", ["dead units", "zero column", "nilpotent", "zero"])
def test_exactly_singular_products(kind):
    rng = np.random.default_rng(2)
    w = rng.normal(size=(6, 6)) / 2
    if kind == "dead units":
        matrices = np.stack([(rng.random(6) < 0.8)[:, None] * w for _ in range(5)])
        expected = exact(matrices, 80)
    elif kind == "zero column":
        w[:, 4] = 0.0
        matrices = np.stack([w] * 5)
        with np.errstate(divide="ignore"):
            expected = 5 * np.log(np.sort(np.abs(np.linalg.eigvals(w)))[::-1])
    elif kind == "nilpotent":  # no zero singular value but one, and yet no eigenvalue but 0
        matrices, expected = np.eye(6, k=1)[None], np.full(6, -np.inf)
    else:
        matrices, expected = np.zeros((5, 6, 6)), np.full(6, -np.inf)
    assert (expected == -np.inf).any()
    result = log_eigenvalue_moduli(jnp.asarray(matrices))
    np.testing.assert_allclose(result.log_moduli, expected, rtol=0, atol=1e-12)
    assert result.converged


def test_ill_conditioned_eigenvalues_have_large_residuals():
    """A defective eigenvalue loses half the digits with any method."""
    matrix = np.diag([0.9, 0.9, 0.5, 0.4, 0.3, 0.2])
    matrix[0, 1] = 1.0
    result = log_eigenvalue_moduli(jnp.asarray(np.stack([matrix] * 40)))
    error = np.abs(result.log_moduli - 40 * np.log(np.diag(matrix)))
    assert error.max() < 1e-6
    assert (error <= result.residual + 1e-13).all()
    assert result.residual[:2].min() > 1e-6
    assert result.residual[2:].max() < 1e-9
    assert not result.converged


def test_an_unfinished_iteration_has_not_converged(monkeypatch):
    monkeypatch.setattr(eigenvalues, "MOST_ROUNDS", 1)
    assert not log_eigenvalue_moduli(jnp.asarray(tanh_network(40))).converged


def test_moduli_of_cells_with_known_jacobians():
    """An LSTM with f = 1 and i = 0, whose cell state stays constant, and a linear cell."""
    cell = cells.lstm(3, param_dtype="float64")
    zeros = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), 2))
    params = zeros._replace(b=jnp.concatenate([jnp.full(3, -1e3), jnp.full(3, 1e3), jnp.zeros(6)]))
    state = cell.initial_state(())._replace(cell=jnp.asarray([0.5, -1.0, 2.0]))
    result = eigenvalue_moduli(cell, params, state, jnp.zeros((40, 2)))
    np.testing.assert_allclose(result.log_moduli, [0, 0, 0, -np.inf, -np.inf, -np.inf], rtol=0, atol=1e-13)

    linear = cells.linear(6, param_dtype="float64")
    w = np.random.default_rng(3).normal(size=(6, 6))
    params = linear.init(jax.random.key(0), 2)._replace(w_h=jnp.asarray(w))
    result = eigenvalue_moduli(linear, params, linear.initial_state(()), jnp.ones((40, 2)))
    expected = 40 * np.log(np.sort(np.abs(np.linalg.eigvals(w)))[::-1])
    np.testing.assert_allclose(result.log_moduli, expected, rtol=0, atol=1e-11)


def test_wrong_shapes_and_values_are_refused():
    for shape in ((3, 2, 4), (2, 2), (0, 2, 2)):
        with pytest.raises(UserError, match="`matrices` must be square"):
            log_eigenvalue_moduli(jnp.zeros(shape))
    with pytest.raises(UserError, match="not finite"):
        log_eigenvalue_moduli(jnp.full((2, 2, 2), jnp.nan))
    cell = cells.elman(2)
    with pytest.raises(UserError, match="one sequence"):
        eigenvalue_moduli(cell, cell.init(jax.random.key(0), 2), cell.initial_state((3,)), jnp.zeros((5, 3, 2)))
