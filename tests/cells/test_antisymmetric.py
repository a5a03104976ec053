"""The antisymmetric recurrent network: eigenvalues of its recurrent matrix, initial values, and what it refuses."""

import jax
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import ArgumentError
from tests.unroll.programs import CELLS, assert_close, random_arrays, random_weights, run_with_gradients

KEY = jax.random.key(0)


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5])
def test_all_eigenvalues_of_the_recurrent_matrix_have_the_real_part_minus_gamma(gamma):
    """Also with random entries on and below the diagonal of ``w_h``, which are not read."""
    cell = cells.antisymmetric(30, gamma=gamma, param_dtype="float64")
    params = random_arrays(cell)[0]
    eigenvalues = np.linalg.eigvals(np.asarray(cell.prepare(params).recurrent))
    np.testing.assert_allclose(eigenvalues.real, -gamma, atol=1e-13)
    assert np.abs(eigenvalues.imag).max() > 1


@pytest.mark.parametrize("name", ["antisymmetric", "antisymmetric-gated"])
def test_training_keeps_the_lower_triangle(name):
    cell = CELLS[name]
    arrays = random_arrays(cell, name)
    _, (gradient, _, _) = run_with_gradients(cell, *arrays, random_weights(cell, name))
    lower = np.tri(5, dtype=bool)
    np.testing.assert_array_equal(np.asarray(gradient.w_h)[lower], 0)
    assert np.all(np.asarray(gradient.w_h)[~lower] != 0)


def test_prepared_parameters_compute_the_same_and_are_prepared_once():
    cell = CELLS["antisymmetric"]
    params, state, xs = random_arrays(cell, "antisymmetric")
    prepared = cell.prepare(params)
    assert cell.prepare(prepared) is prepared
    z = cell.input_projection(params, xs[0])
    assert_close(cell.input_projection(prepared, xs[0]), z, 0.0)
    assert_close(cell.step(prepared, state, z), cell.step(params, state, z), 1e-15)


@pytest.mark.parametrize("gated", [False, True])
def test_initial_values_are_those_of_the_paper(gated):
    """N(0, 1/D) for V, N(0, σ²/H) strictly above the diagonal of W, zeros elsewhere."""
    size, inputs = 60, 40
    cell = cells.antisymmetric(size, gated=gated, recurrent_scale=4.0, param_dtype="float64")
    params = cell.init(KEY, inputs)
    assert params.w_x.shape == (inputs, (1 + gated) * size)
    drawn = np.asarray(params.w_h)[np.triu_indices(size, 1)]
    for draws, variance in ((np.asarray(params.w_x).ravel(), 1 / inputs), (drawn, 16 / size)):
        z = draws / np.sqrt(variance)
        assert abs(z.mean()) < 5 / np.sqrt(z.size)
        assert abs((z**2).mean() - 1) < 5 * np.sqrt(2 / z.size)
        assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / z.size)  # not uniform, whose fourth moment is 1.8
    np.testing.assert_array_equal(np.tril(params.w_h), 0)
    np.testing.assert_array_equal(params.b, np.zeros((1 + gated) * size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, "`epsilon` must be above 0, not 0.0"),
        ({"gamma": -0.1}, "`gamma` must be at least 0, not -0.1"),
        ({"recurrent_scale": -1}, "`recurrent_scale` must be at least 0, not -1"),
        ({"gamma": float("nan")}, "`gamma` must be a finite number, not nan"),
        ({"gated": 1}, "`gated` must be true or false, not 1"),
    ],
)
def test_bad_options_are_refused_in_one_line(options, message):
    with pytest.raises(ArgumentError) as caught:
        cells.antisymmetric(4, **options)
    assert str(caught.value) == message
