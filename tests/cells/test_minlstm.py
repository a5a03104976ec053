"""minLSTM: shares of the gates where both are shut, its candidates, and initial values."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.arrays.activations import log_sigmoid
from tests.unroll.programs import random_arrays, run

H, D = 5, 3


def slopes_and_outputs(f, i, dtype):
    """``h_1`` and ``∂h_1/∂h_0`` at ``h_0 = 1``, ``n = 2`` and these pre-activations."""
    cell = cells.minlstm(1, param_dtype=dtype)
    params = cell.init(jax.random.key(0), D)
    z = jnp.asarray([f, i, 2.0], dtype)

    def step(hidden):
        return cell.step(params, cell.initial_state(())._replace(hidden=hidden), z).hidden[0]

    return jax.value_and_grad(step)(jnp.ones(1, dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("f", "i"), [(-300.0, -301.0), (-1e4, -1e4), (40.0, -200.0), (-60.0, 30.0), (500.0, 500.0)])
def test_shares_of_saturated_gates(f, i, dtype):
    """Both gates shut: ``σ(f) / (σ(f) + σ(i))`` in floating point would be 0/0."""
    with mpmath.workdps(60):
        sigma_f, sigma_i = (1 / (1 + mpmath.exp(-mpmath.mpf(a))) for a in (f, i))
        share = sigma_f / (sigma_f + sigma_i)
        value = share + 2 * (1 - share)
    found, slope = slopes_and_outputs(f, i, dtype)
    room = 400 * float(jnp.finfo(dtype).eps)
    assert float(found) == pytest.approx(float(value), rel=room)
    assert float(slope[0]) == pytest.approx(float(share), rel=room, abs=float(jnp.finfo(dtype).tiny))


def test_states_stay_between_the_least_and_the_largest_candidate():
    """The shares sum to one whatever the gates: no unit grows with the length of a text."""
    cell = cells.minlstm(H, param_dtype="float64")
    params, _, _ = random_arrays(cell, "minlstm bounds")
    xs = jax.random.normal(jax.random.key(3), (400, 2, D), jnp.float64)
    _, hs = run(cell, params, cell.initial_state((2,)), xs)
    candidates = np.asarray(xs @ params.w_x + params.b[None, None])[..., 2 * H :]
    assert np.abs(hs).max() <= np.abs(candidates).max()


def test_a_positive_candidate_keeps_the_state_positive():
    for candidate, positive in (("positive", True), ("identity", False)):
        cell = cells.minlstm(H, candidate, param_dtype="float64")
        params, _, xs = random_arrays(cell, "minlstm candidates")
        _, hs = run(cell, params, cell.initial_state(xs.shape[1:2]), xs)
        assert (np.asarray(hs).min() > 0) == positive


def test_initial_values():
    """Glorot blocks of one gate each, and the forget bias in its own block."""
    params = cells.minlstm(40, forget_bias=2.5, param_dtype="float64").init(jax.random.key(0), 30)
    limit = np.sqrt(6 / 70)
    for block in np.split(np.asarray(params.w_x), 3, axis=1):
        assert 0.98 * limit < np.abs(block).max() < limit
    np.testing.assert_array_equal(params.b, np.repeat([2.5, 0.0, 0.0], 40))
    np.testing.assert_array_equal(cells.minlstm(4).init(jax.random.key(0), 3).b, np.zeros(12))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidate": "tanh"}, "`candidate` must be one of identity, positive, not 'tanh'"),
        ({"forget_bias": np.inf}, "`forget_bias` must be a finite number"),
        ({"forget_bias": "one"}, "`forget_bias` must be a"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message) as caught:
        cells.minlstm(H, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("x", [-1e4, -40.0, -1.0, -1e-3, 0.0, 0.5, 18.0, 40.0, 700.0])
def test_the_logarithm_of_the_sigmoid_and_its_derivatives(x):
    with mpmath.workdps(400):
        sigma = 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
        wanted = [float(mpmath.log(sigma)), float(1 - sigma), float(-sigma * (1 - sigma))]
    functions = (log_sigmoid, jax.grad(log_sigmoid), jax.jacfwd(jax.grad(log_sigmoid)))
    for function, value in zip(functions, wanted, strict=True):
        assert float(function(jnp.asarray(x, jnp.float64))) == pytest.approx(value, rel=1e-14)
