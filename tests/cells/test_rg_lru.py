"""The RG-LRU: heads, bounded derivatives of its input scale, the norm that it keeps, and initial values."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.rg_lru import input_scale
from tests.cells import reference
from tests.unroll.programs import assert_close, random_arrays, random_weights, run_with_gradients

H, D = 6, 4


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
@pytest.mark.parametrize("inputs", [D, H])
def test_heads_are_the_blocks_of_a_block_diagonal_matrix(heads, inputs):
    cell = cells.rg_lru(H, heads, param_dtype="float64")
    params, state, xs = random_arrays(cell, f"rg-lru {heads}", input_size=inputs)
    assert params.w_a.shape == (H, H // heads)
    assert (params.w_x is None) == (inputs == H)
    weights = random_weights(cell, "rg-lru")
    (final, hs), gradients = run_with_gradients(cell, params, state, xs, weights, executor="structured")
    wanted = reference.run("rg-lru", params, state, xs)
    assert_close((tuple(final), hs), wanted, 1e-12)
    assert_close(gradients, run_with_gradients(cell, params, state, xs, weights, executor="scan")[1])
    gate_flops = 2 * 2 * H * H // heads
    assert cell.token_flops(params) == gate_flops + (0 if inputs == H else 2 * D * H)


@pytest.mark.parametrize("log_s", [-2000.0, -700.0, -80.0, -20.0, -3.0, 0.0, 1.0, 4.0, 9.0])
def test_the_input_scale_and_its_derivatives(log_s):
    """Against 60 digits; the square root itself has an infinite slope at a = 1."""
    with mpmath.workdps(60):
        wanted = [
            mpmath.diff(lambda t: mpmath.sqrt(-mpmath.expm1(-2 * mpmath.exp(t))), mpmath.mpf(log_s), n)
            for n in range(3)
        ]
    functions = (input_scale, jax.grad(input_scale), jax.grad(jax.grad(input_scale)))
    for function, value in zip(functions, wanted, strict=True):
        assert float(function(jnp.asarray(log_s, jnp.float64))) == pytest.approx(float(value), rel=1e-12, abs=1e-100)
        assert np.isfinite(function(jnp.asarray(log_s, jnp.float32)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_finite_where_nothing_is_forgotten(dtype):
    """A shut recurrence gate: a rounds to 1, where the derivative of the root is 0/0 or clipped in other code."""
    cell = cells.rg_lru(H, param_dtype=dtype)
    params, state, xs = random_arrays(cell, "rg-lru shut")
    for bias in (-15.0, -40.0, -120.0, -1e4):
        shut = params._replace(b_a=jnp.full(H, bias, params.b_a.dtype))
        (_, hs), gradients = run_with_gradients(cell, shut, state, xs, random_weights(cell, "rg-lru shut"))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
        scale = float(np.exp(max(bias, -2000.0) / 2))  # what is added to a state that is kept
        assert np.abs(np.asarray(hs) - np.asarray(state.hidden)[None]).max() <= 100 * scale + 1e-6


def test_a_stationary_state_has_the_variance_of_its_input():
    """``√(1 - a²)``: white noise of variance 1 through an open input gate leaves a state of variance 1."""
    steps, cell = 4000, cells.rg_lru(H, param_dtype="float64")
    params = cell.init(jax.random.key(0), H)
    params = params._replace(
        w_a=jnp.zeros_like(params.w_a), w_i=jnp.zeros_like(params.w_i), b_i=jnp.full(H, 40.0, jnp.float64)
    )
    params = params._replace(b_a=jnp.full(H, 4.0, jnp.float64))
    xs = jax.random.normal(jax.random.key(1), (steps, 64, H), jnp.float64)
    _, hs = run_with_gradients(
        cell, params, cell.initial_state((64,)), xs, random_weights(cell, "noise", (64,), steps)
    )[0]
    np.testing.assert_allclose(np.var(hs[steps // 2 :], axis=(0, 1)), np.ones(H), atol=0.15)


def test_initial_decays_are_uniform_in_the_area_of_a_ring():
    count = 4000
    params = cells.rg_lru(count, heads=count // 4, param_dtype="float64").init(jax.random.key(0), 2)
    decay = np.exp(-np.logaddexp(0, params.decay))
    assert 0.9 <= decay.min() < 0.901
    assert 0.998 < decay.max() <= 0.999
    sample = (np.sort(decay) ** 2 - 0.9**2) / (0.999**2 - 0.9**2)
    assert np.abs(sample - np.linspace(0, 1, count)).max() < 1.95 / np.sqrt(count)
    for w, inputs in ((params.w_a, 4), (params.w_i, 4), (params.w_x, 2)):
        assert np.var(w) == pytest.approx(1 / inputs, rel=0.05)
    assert not np.any(params.b_a)
    assert not np.any(params.b_i)


def test_inputs_of_another_size_than_the_parameters_are_refused():
    cell = cells.rg_lru(H)
    params = cell.init(jax.random.key(0), H)
    with pytest.raises(UserError, match=f"{D} features do not fit parameters made for {H}"):
        cell.input_projection(params, jnp.zeros((2, D), jnp.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 4}, "`heads` must divide `hidden_size`: 4 does not divide 6"),
        ({"heads": 0}, "`heads` must be a positive whole number, not 0"),
        ({"r_min": 0.0}, "`r_min` must be above 0 and `r_max` below 1, not 0.0 and 0.999"),
        ({"r_max": 1.0}, "`r_min` must be above 0 and `r_max` below 1"),
        ({"r_min": 0.9999}, "`r_min` and `r_max` must satisfy"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message) as caught:
        cells.rg_lru(H, **options)
    assert "\n" not in str(caught.value)
