"""The minimalRNN: initial values, and its critical initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.initializers import scaled_orthogonal
from rnnlm_jax.cells.minimalrnn import critical_gain
from rnnlm_jax.jacobians.step_jacobian import step_jacobian
from tests.unroll.programs import run

KEY = jax.random.key(0)
H, D, STEPS = 400, 300, 200


def test_initial_values():
    cell = cells.minimalrnn(H, gate_bias=1.5, param_dtype="float64")
    params = cell.init(KEY, D)
    np.testing.assert_allclose(params.w_h @ params.w_h.T, np.eye(H), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(params.b, np.zeros(H))
    np.testing.assert_array_equal(params.b_u, np.full(H, 1.5))
    for w, fan_in in ((params.w_x, D), (params.w_n, H)):
        limit = np.sqrt(6 / (fan_in + H))
        assert 0.99 * limit < np.abs(w).max() < limit
        assert np.std(w) == pytest.approx(limit / np.sqrt(3), rel=0.02)


def wide_step(gate_bias, gain):
    """A wide cell's state after many steps, the mean square of its codes, and its step Jacobian there."""
    cell = cells.minimalrnn(H, gate_bias, scaled_orthogonal(gain), param_dtype="float64")
    params = cell.init(KEY, D)
    xs = jax.random.normal(jax.random.key(1), (STEPS, D), jnp.float64)
    final, _ = run(cell, params, cell.initial_state(()), xs)
    codes = np.tanh(np.asarray(xs) @ np.asarray(params.w_x))
    return final, float(np.mean(codes**2)), np.asarray(step_jacobian(cell, params, final, xs[0]))


def mean_squared_singular_value(gate_bias, gain):
    return float(np.sum(np.square(wide_step(gate_bias, gain)[2])) / H)


@pytest.mark.parametrize("gate_bias", [0.0, 2.0])
def test_at_the_critical_gain_the_step_keeps_the_mean_square_of_gradients(gate_bias):
    """From simulation, against the mean field: 1 at the gain, below 1 under it, above 1 over it."""
    variance = wide_step(gate_bias, 1.0)[1]
    gain = critical_gain(gate_bias, variance)
    at, under, over = (mean_squared_singular_value(gate_bias, gain * factor) for factor in (1.0, 0.7, 1.4))
    assert at == pytest.approx(1.0, abs=0.05)
    assert under < 0.9
    assert over > 1.1


def test_along_the_critical_line_singular_values_approach_one():
    """Their spread about 1 falls with the bias, as the gates open."""

    def spread(gate_bias):
        _, codes, matrix = wide_step(gate_bias, critical_gain(gate_bias, 0.364))
        assert codes == pytest.approx(0.364, abs=0.001)
        return np.std(np.linalg.svd(matrix, compute_uv=False))

    spreads = [spread(bias) for bias in (0.0, 2.0, 4.0)]
    assert spreads[1] < 0.8 * spreads[0]
    assert spreads[2] < 0.5 * spreads[1]


ERRORS = {
    "no variance": (lambda: critical_gain(0.0, 0.0), "`input_variance` must be above 0 and at most 1.*not 0.0"),
    "too much": (lambda: critical_gain(0.0, 1.5), "`input_variance` must be above 0 and at most 1.*not 1.5"),
    "gain": (lambda: critical_gain(0.0, 0.5, -1.0), "`code_gain` must be at least 0, not -1.0"),
    "bias": (lambda: cells.minimalrnn(4, float("inf")), "`gate_bias` must be a finite number, not inf"),
    "scale": (lambda: scaled_orthogonal(-1.0), "`gain` of a matrix must be at least 0, not -1.0"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_options_raise_an_error_of_one_line(case):
    call, pattern = ERRORS[case]
    with pytest.raises(UserError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)
