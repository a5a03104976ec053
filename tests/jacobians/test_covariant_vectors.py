"""Covariant Lyapunov vectors against maps whose vectors are known, and by their defining relation on cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, jacobians
from rnnlm_jax.jacobians.covariant_vectors import CovariantVectors
from rnnlm_jax.jacobians.products import step_jacobians
from tests.unroll.programs import jit

KEY, D = jax.random.key(11), 2
STATIC = ("count", "burn_in", "burn_out")
OF_MATRICES = jit(jacobians.covariant_of_matrices, static_argnames=STATIC)
STEP_JACOBIANS = jit(step_jacobians, static_argnums=0)
OF_CELL = jit(jacobians.covariant_vectors, static_argnums=0, static_argnames=STATIC)


def assert_same_lines(found, expected, tolerance=1e-8):
    """Compare unit vectors in columns, with leading axes, without regard to their signs."""
    expected = expected / np.linalg.norm(expected, axis=-2, keepdims=True)
    signs = np.sign((np.asarray(found) * expected).sum(axis=-2, keepdims=True))
    np.testing.assert_allclose(found * signs, np.broadcast_to(expected, found.shape), rtol=0, atol=tolerance)


def test_a_constant_matrix_has_its_eigenvectors():
    basis = np.random.default_rng(1).normal(size=(4, 4))
    values = np.array([2.0, -1.2, 0.5, 0.1])
    a = basis @ np.diag(values) @ np.linalg.inv(basis)
    found = OF_MATRICES(np.stack([a] * 160), key=KEY, burn_in=75, burn_out=75)
    assert found.vectors.shape == (11, 4, 4)
    assert_same_lines(found.vectors, basis[None])
    np.testing.assert_allclose(found.log_growth, np.tile(np.log(np.abs(values)), (10, 1)), rtol=0, atol=1e-8)
    few = OF_MATRICES(np.stack([a] * 160), key=KEY, burn_in=75, burn_out=75, count=2)
    assert_same_lines(few.vectors, basis[None, :, :2])


def test_arnolds_cat_map():
    """``[[2, 1], [1, 1]]``: orthogonal vectors with the exponents ±ln((3 + √5)/2), at the golden ratio."""
    found = OF_MATRICES(np.array([[[2, 1], [1, 1]]] * 60), key=KEY, burn_in=25, burn_out=25)
    golden = (1 + np.sqrt(5)) / 2
    assert_same_lines(found.vectors, np.array([[[golden, 1], [1, -golden]]]))
    np.testing.assert_allclose(found.exponents(), np.log((3 + np.sqrt(5)) / 2) * np.array([1, -1]), rtol=1e-12)
    np.testing.assert_allclose(found.angles()[:, 0, 1], np.full(11, np.pi / 2), rtol=1e-12)
    share = golden**2 / (1 + golden**2)
    expected = 1 / (share**2 + (1 - share) ** 2)
    np.testing.assert_allclose(found.participation_ratios(), np.full((11, 2), expected), rtol=1e-12)


def conjugated(scales=None):
    """Return ``J_t = B_{t+1} D_t B_t⁻¹``, whose covariant vectors are the columns of B, and B and ``ln|D|``."""
    rng, steps, n = np.random.default_rng(4), 200, 5
    bases = rng.normal(size=(steps + 1, n, n)) / 2 + np.eye(n) + np.triu(rng.normal(size=(n, n)))[None]
    bases /= np.linalg.norm(bases, axis=1, keepdims=True)
    rates = np.array([0.6, 0.1, -0.5, -1.0, -1.6]) + 0.2 * rng.normal(size=(steps, n))
    signs = np.where(rng.random((steps, n)) < 0.5, -1, 1)
    diagonals = np.stack([np.diag(row) for row in signs * np.exp(rates)])
    matrices = bases[1:] @ diagonals @ np.linalg.inv(bases[:-1])
    return matrices * (1 if scales is None else scales[:, None, None]), bases, rates


def test_a_changing_map_with_known_vectors():
    matrices, bases, rates = conjugated()
    found = OF_MATRICES(matrices, key=KEY, burn_in=90, burn_out=90)
    assert_same_lines(found.vectors, bases[90:111])
    np.testing.assert_allclose(found.log_growth, rates[90:110], rtol=0, atol=1e-8)
    angles = found.angles()
    cosines = np.abs(np.einsum("tni,tnj->tij", bases[90:111], bases[90:111]))
    np.testing.assert_allclose(np.cos(angles), np.minimum(cosines, 1), rtol=0, atol=1e-8)
    scales = np.where(np.random.default_rng(0).random(200) < 0.5, 1e200, 1e-200)
    scaled = OF_MATRICES(conjugated(scales)[0], key=KEY, burn_in=90, burn_out=90)
    assert_same_lines(scaled.vectors, bases[90:111])
    np.testing.assert_allclose(scaled.log_growth - np.log(scales[90:110, None]), rates[90:110], rtol=0, atol=1e-8)


MAKERS = {
    "elman": lambda: cells.elman(4, param_dtype="float64"),
    "gru": lambda: cells.gru(4, param_dtype="float64"),
    "gru-reset-before": lambda: cells.gru(3, reset="before", param_dtype="float64"),
    "lstm": lambda: cells.lstm(2, param_dtype="float64"),
    "mingru": lambda: cells.mingru(3, param_dtype="float64"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_vectors_of_cells_are_mapped_to_one_another_and_do_not_depend_on_the_key(name):
    cell, rng = MAKERS[name](), np.random.default_rng(2)
    shapes = jax.eval_shape(lambda: (cell.init(KEY, D), cell.initial_state(())))
    params, state = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes)
    xs = jnp.asarray(rng.normal(size=(620, D)))
    count = min(3, jacobians.state_size(cell))
    found, other = (
        OF_CELL(cell, params, state, xs, key=key, burn_in=300, burn_out=300, count=count)
        for key in (KEY, jax.random.key(5))
    )
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), np.ones((21, count)), rtol=1e-14)
    assert_same_lines(found.vectors, np.asarray(other.vectors))
    matrices = np.asarray(STEP_JACOBIANS(cell, params, state, xs))[300:320]
    pushed = matrices @ np.asarray(found.vectors[:-1])
    expected = np.exp(found.log_growth)[:, None, :] * found.vectors[1:]
    error = np.linalg.norm(pushed - expected, axis=1) / np.exp(found.log_growth)
    assert error.max() < 1e-8


def test_vectors_of_null_directions_are_nan():
    w = np.random.default_rng(5).normal(size=(4, 4))
    matrices = np.stack([np.diag([1.0, 1.0, 0.0, 1.0]) @ w] * 120)
    found = OF_MATRICES(matrices, key=KEY, burn_in=50, burn_out=50, count=4)
    assert np.isnan(found.vectors[..., 3]).all()
    assert np.isnan(found.log_growth[:, 3]).all()
    assert np.isfinite(found.vectors[..., :3]).all()
    pushed = matrices[0] @ np.asarray(found.vectors[0, :, :3])
    np.testing.assert_allclose(pushed, np.exp(found.log_growth[0, :3]) * found.vectors[1, :, :3], atol=1e-12)


def test_small_angles_keep_their_digits():
    vectors = jnp.asarray([[[1.0, np.cos(1e-9)], [0.0, -np.sin(1e-9)]]])
    found = CovariantVectors(vectors, jnp.zeros((0, 2)))
    np.testing.assert_allclose(found.angles()[0], [[0, 1e-9], [1e-9, 0]], rtol=1e-12)
    opposite = CovariantVectors(vectors * jnp.asarray([1.0, -1.0]), jnp.zeros((0, 2)))
    np.testing.assert_allclose(opposite.angles()[0], [[0, 1e-9], [1e-9, 0]], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"burn_in": 4, "burn_out": 4}, "leave at least one of the 8 steps"),
        ({"burn_in": -1, "burn_out": 4}, "`burn_in` -1"),
        ({"burn_in": 1, "burn_out": 1, "count": 4}, "`count` must be between 1 and the 3"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        jacobians.covariant_of_matrices(np.ones((8, 3, 3)), key=KEY, **options)
    cell = cells.elman(3)
    with pytest.raises(UserError, match=message):
        jacobians.covariant_vectors(cell, None, cell.initial_state(()), jnp.zeros((8, 1)), key=KEY, **options)
