"""The multiplicative LSTM and the Mogrifier: where they are an LSTM, options, initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells import LSTMParams
from rnnlm_jax.cells.cell_facts import Recurrence
from tests.cells import reference
from tests.cells.references import input_dependent_lstms
from tests.unroll.programs import CELLS, D, H, assert_close, make, one_step, random_arrays, run

KEY = jax.random.key(0)
ROUNDS = (0, 1, 2, 3, 6)


def test_the_multiplicative_lstm_is_an_lstm_where_m_is_h():
    """With a feature that is always 1, ``x W_mx`` can be 1 and ``h W_mh`` h."""
    cell = CELLS["multiplicative-lstm"]
    params, state, xs = random_arrays(cell, "multiplicative-lstm")
    xs = xs.at[..., -1].set(1.0)
    wanted = run(CELLS["lstm"], LSTMParams(params.w_x, params.w_m, params.b), state, xs)
    alike = params._replace(w_mx=jnp.zeros((D, H)).at[-1].set(1.0), w_mh=jnp.eye(H))
    assert_close(run(cell, alike, state, xs), wanted, 1e-13)
    assert np.abs(run(cell, params, state, xs)[1] - wanted[1]).max() > 0.01


def test_the_recurrent_matrix_of_the_multiplicative_lstm_depends_on_the_input():
    """``∂(pre-activations)/∂h`` is ``W_mh diag(x W_mx) W_m``: it changes with x, and is zero where x is."""
    cell = CELLS["multiplicative-lstm"]
    params, state, _ = random_arrays(cell, "multiplicative-lstm")
    state = jax.tree.map(lambda a: a[0], state)

    def slope(x):
        return jax.jacobian(lambda h: one_step(cell, params, state._replace(hidden=h), x)[0].cell)(state.hidden)

    np.testing.assert_array_equal(slope(jnp.zeros(D)), np.zeros((H, H)))
    assert np.abs(slope(jnp.ones(D)) + slope(-jnp.ones(D))).max() > 0.01  # nor does it only change its sign


@pytest.mark.parametrize("size", [3, 50])
def test_matrices_of_the_multiplicative_lstm_start_orthogonal_as_a_whole(size):
    params = cells.multiplicative_lstm(20, param_dtype="float64").init(KEY, size)
    matrices = (params.w_x, params.w_m, params.w_mx, params.w_mh)
    assert [w.shape for w in matrices] == [(size, 80), (20, 80), (size, 20), (20, 20)]
    for w in map(np.asarray, matrices):
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-13)
    np.testing.assert_array_equal(params.b, np.repeat([0.0, 3.0, 0.0, 0.0], 20))
    other = cells.multiplicative_lstm(20, forget_bias=1.5).init(KEY, size)
    np.testing.assert_array_equal(other.b, np.repeat([0.0, 1.5, 0.0, 0.0], 20))


def lstm_part(params):
    return LSTMParams(params.w_x, params.w_h, params.b)


@pytest.mark.parametrize("input_gate", ["free", "capped"])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_mogrifier_whose_rounds_scale_by_one_is_an_lstm(rounds, input_gate):
    """2σ(0) is 1; without rounds there is nothing to scale by."""
    cell = make("mogrifier-lstm", rounds=rounds, input_gate=input_gate)
    params, state, xs = random_arrays(cell, f"mogrifier {rounds}")
    idle = params._replace(
        **{f: jnp.zeros_like(a) for f, a in params._asdict().items() if a is not None and f[-2:] in ("_q", "_r")}
    )
    wanted = run(make("lstm", input_gate=input_gate), lstm_part(params), state, xs)
    assert_close(run(cell, idle, state, xs), wanted, 1e-13)
    assert (np.abs(run(cell, params, state, xs)[1] - wanted[1]).max() > 0.01) == (rounds > 0)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_rounds_are_those_of_the_paper(rounds):
    """Against the reference, for even and odd numbers of them."""
    cell = make("mogrifier-lstm", rounds=rounds)
    params, state, xs = random_arrays(cell, f"mogrifier {rounds}")
    final, hs = run(cell, params, state, xs)
    wanted, wanted_hs = reference.run("mogrifier-lstm", params, state, xs)
    assert len([f for f in input_dependent_lstms.mogrifier_parameters(numpy_of(params)) if f[0] in "QR"]) == rounds
    assert_close((tuple(final), hs), (wanted, wanted_hs), 1e-12)


def numpy_of(params):
    return {f: np.asarray(a) for f, a in params._asdict().items() if a is not None}


def test_factors_multiply_to_the_matrices_of_full_rank():
    cell, full = make("mogrifier-lstm", rank=2), CELLS["mogrifier-lstm"]
    params, state, xs = random_arrays(cell, "rank 2")

    def multiplied(left, w, count):
        pairs = zip(np.split(left, count, axis=1), np.split(w, count, axis=1), strict=True)
        return jnp.concatenate([a @ b for a, b in pairs], axis=1)

    whole = params._replace(
        w_q=multiplied(params.left_q, params.w_q, 3),
        w_r=multiplied(params.left_r, params.w_r, 2),
        left_q=None,
        left_r=None,
    )
    assert_close(run(cell, params, state, xs), run(full, whole, state, xs), 1e-13)
    assert cell.token_flops(params) == 2 * (4 * H * (D + H) + 5 * 2 * (D + H))
    assert full.token_flops(whole) == 2 * (4 * H * (D + H) + 5 * D * H)


@pytest.mark.parametrize("rank", [None, 16])
def test_initial_values_of_the_mogrifier_are_those_of_the_authors_code(rank):
    """Variance ``1/fan_in``, of products of factors too; biases zero except the forget gate's."""
    params = cells.mogrifier_lstm(120, rank=rank, param_dtype="float64").init(KEY, 60)
    maps = [(params.w_x, 60), (params.w_h, 120)]
    if rank is None:
        assert params.left_q is params.left_r is None
        maps += [(params.w_q, 120), (params.w_r, 60)]
    else:
        q = params.left_q[:, :rank] @ params.w_q[:, :60]
        r = params.left_r[:, :rank] @ params.w_r[:, :120]
        maps += [(q, 120), (r, 60)]
    for w, fan_in in maps:
        assert np.std(w) * np.sqrt(fan_in) == pytest.approx(1, rel=0.05)
        assert abs(np.mean(w)) * np.sqrt(fan_in) < 0.05
    assert np.abs(params.w_x).max() <= 2 / 0.8796 / np.sqrt(60)
    assert np.abs(params.w_x).max() > 2.2 / np.sqrt(60)
    np.testing.assert_array_equal(params.b, np.repeat([0.0, 1.0, 0.0, 0.0], 120))
    np.testing.assert_array_equal(params.b_q, np.zeros(3 * 60))
    np.testing.assert_array_equal(params.b_r, np.zeros(2 * 120))


def test_a_mogrifier_projects_no_input_ahead():
    """Its input is scaled by the state: z is x itself, of which the features are counted."""
    cell = CELLS["mogrifier-lstm"]
    params, _, xs = random_arrays(cell, "mogrifier-lstm")
    np.testing.assert_array_equal(cell.input_projection(params, xs), xs)
    assert cell.recurrence is Recurrence.WHOLE_STEP
    with pytest.raises(UserError, match="^4 features do not fit parameters made for 3: check `input_size`$"):
        cell.input_projection(params, jnp.zeros((2, D + 1)))


@pytest.mark.parametrize("rounds", [-1, 2.0, True, "5", None])
def test_a_wrong_number_of_rounds_is_one_clear_error(rounds):
    with pytest.raises(UserError, match=r"^`rounds` must be a whole number of at least 0, not .*: 0 is the LSTM$"):
        cells.mogrifier_lstm(4, rounds=rounds)


def test_wrong_options_are_clear_errors():
    for rank in (0, -2, 1.5):
        with pytest.raises(UserError, match="^`rank` must be a positive whole number, not"):
            cells.mogrifier_lstm(4, rank=rank)
    with pytest.raises(UserError, match="^`input_gate` must be one of free, capped, not 'tied'$"):
        cells.mogrifier_lstm(4, input_gate="tied")
    for factory in (cells.mogrifier_lstm, cells.multiplicative_lstm):
        with pytest.raises(UserError, match="`forget_bias` must be a finite number"):
            factory(4, forget_bias=None)
        with pytest.raises(UserError, match="`hidden_size` must be a positive whole number"):
            factory(0)
