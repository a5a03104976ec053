"""MGU, JANET, LiGRU, UGRNN: what one gate does, options, and initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells import ElmanParams, ElmanState, SingleGateState
from tests.unroll.programs import CELLS, H, assert_close, make, random_arrays, run

NAMES = ("mgu", "janet", "ligru", "ugrnn")
KEY = jax.random.key(0)


def with_gate(params, value):
    """Parameters whose gate does not depend on anything but its bias."""
    gate = jnp.arange(params.b.size) < params.b.size // 2
    closed = [jnp.where(gate, 0.0, w) for w in (params.w_x, params.w_h)]
    return params._replace(w_x=closed[0], w_h=closed[1], b=jnp.where(gate, value, params.b))


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_at_one_end_keeps_the_state_and_at_the_other_is_a_simple_network(name):
    """With σ = 0 or 1 exactly: h stays, or is ``φ(x W + h U + b)`` as of an Elman cell."""
    cell = CELLS[name]
    params, state, xs = random_arrays(cell, name)
    keeps = -1e3 if name == "mgu" else 1e3
    final, _ = run(cell, with_gate(params, keeps), state, xs)
    assert_close(final, state, 1e-14)  # rounding of b + 1 (a - b)

    candidate = [jnp.split(a, 2, axis=-1)[1] for a in params]
    elman = make("elman-relu" if name == "ligru" else "elman-tanh")
    simple, simple_hs = run(elman, ElmanParams(*candidate), ElmanState(state.hidden), xs)
    final, hs = run(cell, with_gate(params, -keeps), state, xs)
    assert_close((final.hidden, hs), (simple.hidden, simple_hs), 1e-13)


def test_janet_without_its_shift_is_the_ugrnn():
    params, state, xs = random_arrays(CELLS["janet"], "janet")
    plain = make("janet", input_shift=0.0)
    assert_close(run(plain, params, state, xs), run(CELLS["ugrnn"], params, state, xs), 1e-13)
    shifted = run(CELLS["janet"], params, state, xs)[1]
    assert np.abs(shifted - run(plain, params, state, xs)[1]).max() > 0.01


def test_states_of_ligru_stay_positive_and_of_the_others_within_one():
    for name in NAMES:
        params, _, xs = random_arrays(CELLS[name], name)
        hs = run(CELLS[name], jax.tree.map(lambda a: 10 * a, params), SingleGateState(jnp.zeros((4, H))), xs)[1]
        if name == "ligru":
            assert np.min(hs) >= 0
            assert np.max(hs) > 1
        elif name != "janet":  # whose two weights may add up to more than 1
            assert np.abs(hs).max() <= 1


def test_chrono_initialisation_is_log_uniform():
    """``e^b`` is uniform in [1, T - 1] for the forget gate, and the candidate's bias is zero."""
    cell = cells.janet(4000, max_length=400, param_dtype="float64")
    b_f, b_n = np.split(np.asarray(cell.init(KEY, 1).b), 2)
    np.testing.assert_array_equal(b_n, np.zeros(4000))
    ranks = (np.sort(np.exp(b_f)) - 1) / 398
    # Kolmogorov-Smirnov: beyond 2/√n once in 1500 draws of the key
    assert np.abs(ranks - np.arange(1, 4001) / 4000).max() < 2 / np.sqrt(4000)
    assert cells.janet(4, max_length=2).init(KEY, 1).b.tolist() == [0.0] * 8
    other = cells.janet(4000, max_length=400, param_dtype="float64").init(jax.random.key(1), 1)
    assert not np.allclose(other.b, cell.init(KEY, 1).b)


@pytest.mark.parametrize("name", ["mgu", "ligru"])
def test_blocks_of_the_recurrent_matrix_start_orthogonal(name):
    for w in np.split(np.asarray(make(name).init(KEY, 3).w_h), 2, axis=1):
        np.testing.assert_allclose(w @ w.T, np.eye(H), atol=1e-13)


@pytest.mark.parametrize("name", ["janet", "ugrnn"])
def test_blocks_of_the_recurrent_matrix_start_as_glorot_has_it(name):
    limit = np.sqrt(6 / 80)
    for w in np.split(np.asarray(cells.make(name, 40).init(KEY, 3).w_h), 2, axis=1):
        assert 0.98 * limit < np.abs(w).max() < limit


@pytest.mark.parametrize("wrong", [1, 0, -3, 2.5, True, "10"])
def test_a_wrong_max_length_is_one_clear_error(wrong):
    with pytest.raises(UserError, match=r"^`max_length` must be a whole number of at least 2, not .*$"):
        cells.janet(4, max_length=wrong)


def test_wrong_options_are_clear_errors():
    for name in NAMES:
        with pytest.raises(UserError, match="`recurrent_init` must be one of"):
            cells.make(name, 4, recurrent_init="chrono")
        with pytest.raises(UserError, match="`hidden_size` must be a positive whole number"):
            cells.make(name, 0)
    for option in ("forget_bias", "input_shift"):
        with pytest.raises(UserError, match=f"`{option}` must be a finite number"):
            cells.janet(4, **{option: float("nan")})
    with pytest.raises(UserError, match="`forget_bias` must be a finite number"):
        cells.ugrnn(4, forget_bias="1")
