"""The recurrent highway network: depth, gates, options, initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells import RHNParams, SingleGateParams, SingleGateState
from tests.unroll.programs import CELLS, D, H, assert_close, make, random_arrays, run

KEY = jax.random.key(0)


def test_one_micro_step_is_a_ugrnn_whose_gate_is_turned_round():
    """σ(t) transforms where the UGRNN's σ(f) keeps: f = -t, in the other order of blocks."""
    cell = make("rhn", depth=1)
    params, state, xs = random_arrays(cell, "rhn")

    def turned(a):
        n, t = jnp.split(a, 2, axis=-1)
        return jnp.concatenate([-t, n], axis=-1)

    ugrnn = SingleGateParams(turned(params.w_x), turned(params.w_s), turned(params.b))
    final, hs = run(cell, params, state, xs)
    wanted, wanted_hs = run(CELLS["ugrnn"], ugrnn, SingleGateState(state.hidden), xs)
    assert_close((final.hidden, hs), (wanted.hidden, wanted_hs), 1e-13)


def test_micro_steps_with_closed_gates_change_nothing():
    """The step of depth 5 whose gates are shut from the third micro-step on is that of depth 2; open, it is not."""
    deep, shallow = CELLS["rhn"], make("rhn", depth=2)
    params, state, xs = random_arrays(deep, "rhn")
    first = RHNParams(params.w_x, params.w_s[:, : 4 * H], params.b[: 4 * H])
    gate = (jnp.arange(params.b.size) >= 4 * H) & (jnp.arange(params.b.size) // H % 2 == 1)
    closed = params._replace(w_s=jnp.where(gate, 0.0, params.w_s), b=jnp.where(gate, -1e3, params.b))
    wanted = run(shallow, first, state, xs)
    assert_close(run(deep, closed, state, xs), wanted, 1e-13)
    assert np.abs(run(deep, params, state, xs)[1] - wanted[1]).max() > 0.01


def test_states_stay_within_one():
    """Every micro-step is an average of the state and a tanh."""
    params, _, xs = random_arrays(CELLS["rhn"], "rhn")
    large = jax.tree.map(lambda a: 20 * a, params)
    hs = run(CELLS["rhn"], large, CELLS["rhn"].initial_state((4,)), xs)[1]
    assert 0.9 < np.abs(hs).max() <= 1


@pytest.mark.parametrize("depth", [1, 3])
def test_initial_values_are_those_of_the_paper(depth):
    cell = cells.rhn(100, depth=depth, param_dtype="float64")
    params = cell.init(KEY, 50)
    assert (params.w_x.shape, params.w_s.shape) == ((50, 200), (100, depth * 200))
    for w in (params.w_x, params.w_s):
        assert 0.0399 < np.abs(w).max() <= 0.04
        assert np.std(w) == pytest.approx(0.04 / np.sqrt(3), rel=0.02)
        assert abs(np.mean(w)) < 0.001
    np.testing.assert_array_equal(params.b, np.tile(np.repeat([0.0, -2.0], 100), depth))
    other = cells.rhn(4, depth=depth, transform_bias=-4.0, init_scale=0.5).init(KEY, 50)
    np.testing.assert_array_equal(other.b, np.tile(np.repeat([0.0, -4.0], 4), depth))
    assert 0.45 < np.abs(other.w_x).max() <= 0.5


def test_flops_count_every_micro_step():
    for depth in (1, 4):
        cell = cells.rhn(H, depth=depth)
        assert cell.token_flops(cell.init(KEY, D)) == 2 * (D * 2 * H + depth * H * 2 * H)


@pytest.mark.parametrize("depth", [0, -1, 2.0, 1.5, True, "3", None])
def test_a_wrong_depth_is_one_clear_error(depth):
    with pytest.raises(UserError, match=r"^`depth` must be a whole number of at least 1, not .*: one micro-step"):
        cells.rhn(4, depth=depth)


def test_wrong_options_are_clear_errors():
    for scale in (0, -0.1):
        with pytest.raises(UserError, match="^`init_scale` must be above 0, not"):
            cells.rhn(4, init_scale=scale)
    for option in ("init_scale", "transform_bias"):
        with pytest.raises(UserError, match=f"`{option}` must be a finite number"):
            cells.rhn(4, **{option: float("inf")})
    with pytest.raises(UserError, match="`hidden_size` must be a positive whole number"):
        cells.rhn(-1)
