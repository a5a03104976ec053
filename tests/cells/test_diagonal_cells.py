"""Nonlinear cells whose units read their own state only, and the nBRC: initial values, properties, wrong options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians.step_jacobian import step_jacobian
from tests.unroll.programs import CELLS, example, jit, random_arrays, run

KEY = jax.random.key(0)
WIDE, INPUTS = 400, 30


@functools.cache
def initial_params(name, **options):
    cell = cells.make(name, WIDE, param_dtype="float64", **options)
    return jit(lambda: cell.init(KEY, INPUTS))()


def assert_uniform(draws, low, high):
    """Within the bounds, close to both, and with the mean and variance of the distribution."""
    draws = np.asarray(draws)
    width = high - low
    assert low <= draws.min() < low + 0.02 * width
    assert high - 0.02 * width < draws.max() < high
    assert abs(draws.mean() - (low + high) / 2) < 0.05 * width
    assert draws.std() == pytest.approx(width / np.sqrt(12), rel=0.05)


def assert_glorot(w_x, gates):
    for block in np.split(np.asarray(w_x), gates, axis=1):
        limit = np.sqrt(6 / (INPUTS + WIDE))
        assert_uniform(block, -limit, limit)


def test_indrnn_starts_as_its_authors_start_it():
    params = initial_params("indrnn")
    assert_uniform(params.u, 0, 1)
    assert_uniform(initial_params("indrnn", min_weight=0.9, max_weight=1.1).u, 0.9, 1.1)
    assert_glorot(params.w_x, 1)
    np.testing.assert_array_equal(params.b, np.zeros(WIDE))


@pytest.mark.parametrize(("name", "gates", "spread"), [("para-gru", "run", "u"), ("para-lstm", "fgo", "f")])
def test_pararnn_cells_start_as_their_authors_start_them(name, gates, spread):
    params = initial_params(name)
    vectors = [value for field, value in params._asdict().items() if field.startswith(("diag", "peep"))]
    assert len(vectors) == (3 if name == "para-gru" else 5)
    assert len(np.unique(vectors)) == WIDE * len(vectors)
    for vector in vectors:
        assert np.std(vector) == pytest.approx(2 / np.sqrt(5 * WIDE), rel=0.1)
        assert abs(np.mean(vector)) < 0.2 * np.std(vector)
    assert_glorot(params.w_x, 3)
    for gate, bias in zip(gates, np.split(np.asarray(params.b), 3), strict=True):
        wanted = -np.arange(WIDE) / (WIDE - 1) if gate == spread else np.zeros(WIDE)
        np.testing.assert_allclose(bias, wanted, rtol=0, atol=1e-15)


def test_a_bounded_indrnn_multiplies_gradients_by_at_most_its_magnitude():
    """Weights far beyond the bound; with relu and positive inputs every slope is 1, so that the bound is reached."""
    steps, magnitude = 30, 2.0
    cell = cells.indrnn(4, max_weight=magnitude ** (1 / steps), param_dtype="float64")
    params, state, xs = random_arrays(cell, "bounded", steps=steps)
    params = params._replace(u=jnp.asarray([-7.0, 7.0, 0.5, 1.0]), b=jnp.full(4, 50.0))

    def last(hidden):
        return run(cell, params, state._replace(hidden=hidden), xs)[0].hidden.sum()

    found = np.asarray(jax.grad(last)(jnp.abs(state.hidden)))
    np.testing.assert_allclose(found[:, 1], magnitude, rtol=1e-12)
    assert np.abs(found).max() <= magnitude * (1 + 1e-12)
    np.testing.assert_allclose(found[:, 2], 0.5**steps, rtol=1e-12)


def test_the_bound_changes_nothing_within_it():
    params, state, xs = random_arrays(CELLS["indrnn"], "indrnn")
    bounded = cells.indrnn(5, max_weight=float(np.abs(params.u).max()) + 0.1, param_dtype="float64")
    for found, wanted in zip(
        jax.tree.leaves(run(bounded, params, state, xs)),
        jax.tree.leaves(run(CELLS["indrnn"], params, state, xs)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)


def test_indrnn_with_tanh_is_an_elman_cell_with_a_diagonal_matrix():
    cell, elman = cells.indrnn(5, "tanh", param_dtype="float64"), CELLS["elman-tanh"]
    params, state, xs = random_arrays(cell, "indrnn-tanh")
    dense = elman.init(KEY, xs.shape[-1])._replace(w_x=params.w_x, w_h=jnp.diag(params.u), b=params.b)
    found, wanted = run(cell, params, state, xs)[1], run(elman, dense, elman.initial_state(())._make(state), xs)[1]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_the_jacobian_of_para_lstm_has_two_by_two_blocks():
    """Every number of a unit's block is in use, and nothing outside of it."""
    cell = CELLS["para-lstm"]
    params, state, xs = random_arrays(cell, "para-lstm")
    matrix = np.asarray(step_jacobian(cell, params, example(state, 0), xs[0, 0]))
    units = np.arange(len(matrix)) % cell.spec.hidden_size
    np.testing.assert_array_equal(matrix != 0, np.equal.outer(units, units))


def test_bistable_cells_start_as_their_authors_start_them():
    params = initial_params("brc")
    np.testing.assert_array_equal([params.diag_r, params.diag_u], np.ones((2, WIDE)))
    np.testing.assert_array_equal(params.b, np.zeros(2 * WIDE))
    assert_glorot(params.w_x, 3)
    params = initial_params("nbrc")
    np.testing.assert_array_equal(params.b, np.zeros(2 * WIDE))
    assert_glorot(params.w_x, 3)
    for block in np.split(np.asarray(params.w_h), 2, axis=1):
        assert_uniform(block, -np.sqrt(6 / (2 * WIDE)), np.sqrt(6 / (2 * WIDE)))


def test_a_bistable_unit_keeps_the_sign_of_its_state_for_ever_where_the_feedback_exceeds_one():
    """Without input, from ±0.5: above 1 to one of the two solutions of h = tanh(a h), at or below 1 to zero."""
    cell = cells.brc(4, param_dtype="float64")
    feedback = np.array([0.5, 0.9, 1.1, 1.5])
    params = jax.tree.map(jnp.zeros_like, cell.init(KEY, 1))
    params = params._replace(b=jnp.concatenate([jnp.arctanh(feedback - 1), jnp.full(4, -3.0)]))
    start = cells.BistableState(jnp.stack([jnp.full(4, 0.5), jnp.full(4, -0.5)]))
    held = np.asarray(run(cell, params, start, jnp.zeros((2000, 2, 1)))[0].hidden)
    np.testing.assert_allclose(held[:, :2], 0, atol=1e-12)
    np.testing.assert_array_equal(np.sign(held[:, 2:]), [[1, 1], [-1, -1]])
    assert np.abs(held[:, 2:]).min() > 0.4
    np.testing.assert_allclose(held[:, 2:], np.tanh(feedback[2:] * held[:, 2:]), rtol=1e-12)


def test_an_nbrc_with_diagonal_matrices_is_a_brc():
    brc, nbrc = CELLS["brc"], CELLS["nbrc"]
    params, state, xs = random_arrays(brc, "brc")
    dense = cells.NBRCParams(
        params.w_x, jnp.concatenate([jnp.diag(params.diag_r), jnp.diag(params.diag_u)], axis=1), params.b
    )
    np.testing.assert_allclose(run(nbrc, dense, state, xs)[1], run(brc, params, state, xs)[1], rtol=0, atol=1e-14)


def test_unicornn_starts_as_its_authors_start_it():
    params = initial_params("unicornn")
    assert_uniform(params.w, 0, 1)
    assert_uniform(params.c, -0.1, 0.1)
    assert_uniform(params.w_x, -np.sqrt(6 / (65 * INPUTS)), np.sqrt(6 / (65 * INPUTS)))
    np.testing.assert_array_equal(params.b, np.zeros(WIDE))


def test_unicornn_can_be_run_backwards():
    """From the final state and the inputs alone to the initial state, by the equations in reverse order."""
    cell = cells.unicornn(5, dt=0.3, alpha=2.0, param_dtype="float64")
    params, start, xs = random_arrays(cell, "reversed", steps=50)
    y, z = map(np.asarray, run(cell, params, start, xs)[0])
    params = jax.tree.map(np.asarray, params)
    assert np.abs(y - np.asarray(start.hidden)).max() > 0.1
    time_step = 0.3 / (1 + np.exp(-params.c))
    for x in np.asarray(xs)[::-1]:
        y = y - time_step * z
        z = z + time_step * (np.tanh(params.w * y + x @ params.w_x + params.b) + 2.0 * y)
    np.testing.assert_allclose(y, start.hidden, rtol=0, atol=1e-12)
    np.testing.assert_allclose(z, start.velocity, rtol=0, atol=1e-12)


def test_a_step_of_unicornn_keeps_volumes():
    cell = CELLS["unicornn"]
    params, state, xs = random_arrays(cell, "unicornn")
    matrix = np.asarray(step_jacobian(cell, params, example(state, 0), xs[0, 0]))
    assert np.abs(matrix - np.eye(len(matrix))).max() > 0.1
    assert np.linalg.det(matrix) == pytest.approx(1.0, rel=1e-12)


ERRORS = {
    "step size": (lambda: cells.unicornn(5, dt=0.0), "`dt` must be positive, not 0.0"),
    "stiffness": (lambda: cells.unicornn(5, alpha=-1.0), "`alpha` must be at least 0, not -1.0"),
    "recurrent initialiser": (lambda: cells.nbrc(5, "diagonal"), "`recurrent_init` must be one of .*'diagonal'"),
    "activation": (lambda: cells.indrnn(5, "sigmoid"), "`activation` must be one of relu, tanh, not 'sigmoid'"),
    "bound": (lambda: cells.indrnn(5, max_weight=0.0), "`max_weight` must be positive, or None for no bound, not 0.0"),
    "no number": (lambda: cells.indrnn(5, max_weight="2"), "`max_weight` must be a finite number, not '2'"),
    "range": (
        lambda: cells.indrnn(5, min_weight=1.5, max_weight=1.2),
        "`min_weight` must be at least 0 and below 1.2, the largest initial weight, not 1.5",
    ),
    "below zero": (lambda: cells.indrnn(5, min_weight=-0.1), "`min_weight` must be at least 0 and below 1.0"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_options_raise_an_error_of_one_line(case):
    call, pattern = ERRORS[case]
    with pytest.raises(UserError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)
