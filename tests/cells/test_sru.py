"""The SRU: its highway in both forms, the scale that keeps variances through layers, and initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells, unroll
from rnnlm_jax.jacobians.step_jacobian import step_jacobian
from tests.cells import reference
from tests.unroll.programs import assert_close, random_arrays, random_weights, run, run_with_gradients

H, D = 5, 3


@pytest.mark.parametrize("inputs", [D, H])
def test_the_highway_has_a_matrix_only_where_sizes_differ(inputs):
    cell = cells.sru(H, param_dtype="float64")
    params, state, xs = random_arrays(cell, f"sru {inputs}", input_size=inputs)
    assert params.w_x.shape == (inputs, 3 * H if inputs == H else 4 * H)
    weights = random_weights(cell, "sru")
    (final, hs), gradients = run_with_gradients(cell, params, state, xs, weights, executor="structured")
    assert_close((tuple(final), hs), reference.run("sru", params, state, xs), 1e-12)
    assert_close(gradients, run_with_gradients(cell, params, state, xs, weights, executor="scan")[1])


def test_a_shut_reset_gate_passes_the_scaled_input():
    """``α = √(1 + 2 e^b)``, or 1 without scaling."""
    cases = (({}, 3), ({"highway_bias": -2.0}, 1 + 2 * np.exp(-2)), ({"rescale": False}, 1))
    for options, alpha_squared in cases:
        cell = cells.sru(H, param_dtype="float64", **options)
        params, state, xs = random_arrays(cell, "sru shut", input_size=H)
        params = params._replace(b=params.b.at[H:].set(-1e4))
        _, hs = run(cell, params, state, xs)
        np.testing.assert_allclose(hs, np.sqrt(alpha_squared) * np.asarray(xs), rtol=1e-14)


def test_the_state_is_an_average_of_candidates():
    """``c_t`` lies between ``c_{t-1}`` and the candidate, whatever its own weights in the gates are."""
    cell = cells.sru(H, param_dtype="float64")
    params, state, xs = random_arrays(cell, "sru average", batch=())
    params = params._replace(v_f=40 * params.v_f)
    candidate = xs[0] @ params.w_x[:, :H]
    z = cell.input_projection(params, xs[0])
    c = cell.step(params, state, z).cell
    assert np.all(np.minimum(state.cell, candidate) <= c + 1e-12)
    assert np.all(c <= np.maximum(state.cell, candidate) + 1e-12)


def test_both_gates_read_the_state_before_the_step():
    """Rows of h, then of c; columns of h, which nothing reads, and of c."""
    cell = cells.sru(H, param_dtype="float64")
    params, state, xs = random_arrays(cell, "sru jacobian", batch=())
    g, f, r, s = np.split(np.asarray(cell.input_projection(params, xs[0])), 4)
    c = np.asarray(state.cell)
    f = 1 / (1 + np.exp(-(f + params.v_f * c)))
    r = 1 / (1 + np.exp(-(r + params.v_r * c)))
    new = f * c + (1 - f) * g
    by_c = f + (c - g) * f * (1 - f) * np.asarray(params.v_f)
    by_h = r * by_c + (new - s) * r * (1 - r) * np.asarray(params.v_r)
    zeros = np.zeros((H, H))
    wanted = np.block([[zeros, np.diag(by_h)], [zeros, np.diag(by_c)]])
    np.testing.assert_allclose(step_jacobian(cell, params, state, xs[0]), wanted, rtol=0, atol=1e-14)


def test_scaling_keeps_variances_through_layers():
    """Ten layers on white noise: outputs keep the variance of the input; without scaling they lose most of it."""
    width, steps = 200, 30
    xs = jax.random.normal(jax.random.key(1), (steps, 20, width), jnp.float32)
    variances = {}
    for rescale in (True, False):
        cell, hs = cells.sru(width, rescale=rescale), xs
        for layer in range(10):
            params = cell.init(jax.random.key(layer), width)
            _, hs = jax.jit(unroll, static_argnums=0)(cell, params, cell.initial_state((20,)), hs)
        variances[rescale] = float(np.var(hs[-1]))
    assert 0.5 < variances[True] < 2
    assert variances[False] < 0.1


def test_initial_values():
    """Uniform, of the variances of the authors' code; the highway's matrix larger by α, the gates' smaller by √½."""
    size, inputs = 300, 200
    params = cells.sru(size, -1.0, param_dtype="float64").init(jax.random.key(0), inputs)
    alpha = 1 + 2 * np.exp(-1.0)
    for block, variance in zip(np.split(np.asarray(params.w_x), 4, axis=1), (1, 0.5, 0.5, alpha), strict=True):
        limit = np.sqrt(3 * variance / inputs)
        assert 0.99 * limit < np.abs(block).max() <= limit
        assert np.var(block) == pytest.approx(variance / inputs, rel=0.02)
    for v in (params.v_f, params.v_r):
        assert 0.95 * np.sqrt(1.5) < np.abs(v).max() <= np.sqrt(1.5)
    np.testing.assert_array_equal(params.b, np.repeat([0.0, -1.0], size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"highway_bias": "none"}, "`highway_bias` must be a"),
        ({"highway_bias": 1000.0}, "`highway_bias` must be between -100 and 100, not 1000.0"),
        ({"rescale": 1}, "`rescale` must be true or false, not 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message) as caught:
        cells.sru(H, **options)
    assert "\n" not in str(caught.value)
