"""log|det J| of a step: closed forms against LU of autodiff Jacobians, and against mpmath where LU fails."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.state_jacobian import autodiff_jacobian
from rnnlm_jax.jacobians.bounds import decay_rates
from rnnlm_jax.jacobians.log_determinant import has_closed_form, step_log_abs_det
from tests.unroll.programs import ADMISSIBLE, jit

LOG_DET = jit(step_log_abs_det, static_argnums=0)
JACOBIAN = jit(autodiff_jacobian, static_argnums=0)

D, H = 3, 4
BATCH = (2, 3)
CLOSED = {name for name in cells.names() if name.startswith(("linear", "elman", "irnn", "lstm"))} - {"lstm-layer-norm"}
CLOSED |= {"indrnn", "para-gru", "para-lstm", "brc", "unicornn"}
OTHERS = {
    "stack": lambda: cells.stack(make("lstm"), make("gru"), make("elman-tanh")),
    "residual": lambda: cells.stack(make("lstm"), make("lstm-1997"), make("lstm-peephole"), residual=True),
    "summed": lambda: cells.stack(make("lstm"), make("lstm-1997"), make("lstm-peephole"), sum_outputs=True),
    "nested": lambda: cells.stack(make("elman-tanh"), cells.stack(make("lstm"), make("lstm"))),
    "bounded": lambda: cells.indrnn(H, "tanh", max_weight=0.3, param_dtype="float64"),
    "capped": lambda: cells.lstm(H, input_gate="capped", param_dtype="float64"),
    "wide projection": lambda: cells.projected_lstm(H, projection_size=H + 1, param_dtype="float64"),
}


def make(name):
    return OTHERS[name]() if name in OTHERS else cells.make(name, H, param_dtype="float64")


def case(name, seed=0):
    """A cell, parameters, a batch of states and of projected inputs, all of them random."""
    cell = make(name)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), cell.initial_state(BATCH)))
    params, states = jax.tree.map(lambda s: jnp.asarray(0.7 * rng.normal(size=s.shape)), shapes)
    if name in ADMISSIBLE:
        params, states = ADMISSIBLE[name](params, states)
    return cell, params, states, cell.input_projection(params, jnp.asarray(rng.normal(size=(*BATCH, D))))


@pytest.mark.parametrize("name", [*cells.names(), *OTHERS])
def test_it_equals_that_of_the_autodiff_jacobian(name):
    cell, params, states, zs = case(name)

    @jit
    def both(params, states, zs):
        one = functools.partial(autodiff_jacobian, cell, params)
        return step_log_abs_det(cell, params, states, zs), jax.vmap(jax.vmap(one))(states, zs)

    found, matrices = both(params, states, zs)
    assert found.shape == BATCH
    if name == "lstm-projected":  # rank P in the rows of h', H in those of c'
        assert (np.linalg.matrix_rank(matrices) == H + 1).all()
        assert (found == -np.inf).all()
    elif name in ("slstm", "mlstm"):  # singular where an input gate sets the scale in which the state is stored
        rank = np.linalg.matrix_rank(matrices)
        np.testing.assert_array_equal(rank < matrices.shape[-1], found == -np.inf)
        regular = found > -np.inf
        np.testing.assert_allclose(found[regular], np.linalg.slogdet(matrices[regular])[1], rtol=0, atol=1e-11)
    else:
        atol = 1e-8 if name == "lstm-layer-norm" else 1e-11  # normalisation leaves nearly singular matrices
        np.testing.assert_allclose(found, np.linalg.slogdet(matrices)[1], rtol=0, atol=atol)
    assert has_closed_form(cell) or name not in (*CLOSED, "residual", "summed", "nested", "wide projection")


def test_a_replaced_cell_does_not_take_the_closed_form_of_its_kind():
    """An LSTM that forgets half as much, and an Elman cell with another activation."""
    cell, params, states, zs = case("lstm")
    halved = dataclasses.replace(
        cell, update=lambda params, s, z, r: cell.update(params, s._replace(cell=0.5 * s.cell), z, r)
    )
    sine = dataclasses.replace(
        make("elman-tanh"),
        update=lambda params, s, z, r: s._replace(hidden=jnp.sin(z + r)),
        spec=dataclasses.replace(make("elman-tanh").spec, variant=(("activation", "sin"),)),
    )
    assert decay_rates(sine, case("elman-tanh")[1]) is None
    for changed, at in ((halved, (params, states, zs)), (sine, case("elman-tanh")[1:])):
        one = functools.partial(autodiff_jacobian, changed, at[0])
        matrices = jax.vmap(jax.vmap(one))(at[1], at[2])
        assert not has_closed_form(changed)
        np.testing.assert_allclose(LOG_DET(changed, *at), np.linalg.slogdet(matrices)[1], rtol=0, atol=1e-11)


def exact_lstm(a, c, u_o):
    """ln|det| of an LSTM's step with 400 digits, enough for 1 - σ(700)."""
    with mpmath.workdps(400):
        total = mpmath.log(abs(mpmath.det(mpmath.matrix(u_o.tolist()))))
        for i, f, g, o, c0 in zip(*np.split(a, 4), c, strict=True):
            sigma = [1 / (1 + mpmath.exp(-mpmath.mpf(v))) for v in (i, f, o)]
            c1 = sigma[1] * c0 + sigma[0] * mpmath.tanh(g)
            total += mpmath.log(sigma[1] * abs(mpmath.tanh(c1)) * sigma[2] * (1 - sigma[2]))
        return float(total)


def test_saturated_gates_keep_every_digit():
    """Gates shut or open to e^±40 and beyond: the closed form, and the entries of the Jacobian, by its LU."""
    cell, params, states, _ = case("lstm")
    states = jax.tree.map(lambda a: a[0, 0], states)
    a = np.array([1.0, -2.0, 30.0, 0.5, -45.0, -300.0, 3.0, 50.0, 1.0, -20.0, 0.3, 0.1, 45.0, 2.0, -200.0, 700.0])
    a = jnp.asarray(a)
    params = params._replace(w_h=params.w_h.at[:, :-H].set(0.0))
    z = a - states.hidden @ params.w_h
    a = np.asarray(z + states.hidden @ params.w_h)
    wanted = exact_lstm(a, np.asarray(states.cell), np.asarray(params.w_h[:, -H:]).T)
    found = LOG_DET(cell, params, states, z)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    factored = np.linalg.slogdet(np.asarray(JACOBIAN(cell, params, states, z)))[1]
    np.testing.assert_allclose(factored, wanted, rtol=1e-12)


def test_saturated_tanh_and_peepholes():
    cell, params, states, _ = case("elman-tanh")
    params, state = params._replace(w_h=jnp.eye(H)), cell.initial_state(())
    a = jnp.asarray([25.0, -400.0, 0.0, 1.0])
    with mpmath.workdps(30):
        wanted = float(sum(2 * mpmath.log(mpmath.sech(mpmath.mpf(float(v)))) for v in a))
    np.testing.assert_allclose(LOG_DET(cell, params, state, a), wanted, rtol=1e-15, atol=1e-14)

    cell, params, states, _ = case("lstm-peephole")
    state = jax.tree.map(lambda a: a[0, 0], states)
    shut = jnp.concatenate([jnp.full(H, -900.0), jnp.full(H, -800.0), jnp.ones(H), jnp.zeros(H)])
    found = LOG_DET(cell, params, state._replace(hidden=jnp.zeros(H)), shut)
    # c' underflows, so nothing is shown; ∂c'/∂c alone would be e^-800
    assert found == -np.inf
    lasting = state._replace(hidden=jnp.zeros(H), cell=jnp.full(H, 1e3))
    z = shut.at[H : 2 * H].set(-600.0)
    params = params._replace(peep_i=jnp.zeros(H), peep_f=jnp.zeros(H), peep_o=jnp.zeros(H))
    slopes = -600 + np.log(1e3) - 600 + np.log(0.25)  # f, tanh c' = c f, o(1 - o)
    wanted = H * slopes + np.linalg.slogdet(params.w_h[:, -H:])[1]
    np.testing.assert_allclose(LOG_DET(cell, params, lasting, z), wanted, rtol=1e-13)


def test_zero_slopes_give_minus_infinity():
    cell, params, states, zs = case("elman-relu")
    assert (LOG_DET(cell, params, states, zs - 100.0) == -np.inf).all()
    alive = LOG_DET(cell, params, states, zs + 100.0)
    np.testing.assert_allclose(alive, np.full(BATCH, np.linalg.slogdet(params.w_h)[1]), rtol=1e-13)
    assert jnp.isnan(LOG_DET(cell, params, states, zs * jnp.nan)).all()
    cell = make("lstm")
    zeros = jax.tree.map(jnp.zeros_like, case("lstm")[1])
    assert LOG_DET(cell, zeros, cell.initial_state(()), jnp.zeros(4 * H)) == -np.inf


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_precisions_are_those_of_the_cell(dtype, atol):
    cell = cells.lstm(H, dtype=dtype, param_dtype="float32")
    _, params, states, zs = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (None, *case("lstm")[1:]))
    z, state = zs[0, 0].astype(dtype), jax.tree.map(lambda a: a[0, 0], states)
    with jax.numpy_dtype_promotion("strict"):
        found = LOG_DET(cell, params, state, z)
    assert found.dtype == jnp.float32
    matrix = np.asarray(JACOBIAN(cell, params, state, z), np.float64)
    np.testing.assert_allclose(found, np.linalg.slogdet(matrix)[1], rtol=0, atol=atol)


def test_a_cell_that_cannot_be_stepped():
    cell = cells.bidirectional(make("lstm"), make("lstm"))
    assert not has_closed_form(cell)
    with pytest.raises(UserError, match="cannot be stepped"):
        LOG_DET(cell, None, cell.initial_state((2,)), jnp.zeros((2, 4 * H)))
