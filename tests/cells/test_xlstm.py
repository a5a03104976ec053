"""sLSTM and mLSTM: the stabiliser changes nothing; heads, options and initial values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians.log_determinant import step_log_abs_det
from rnnlm_jax.jacobians.step_jacobian import autodiff_jacobian
from tests.cells import reference
from tests.unroll.programs import ADMISSIBLE, T, assert_close, jit, random_arrays, run, walk

KEY = jax.random.key(0)
HEADS, HIDDEN, KEY_SIZE = 2, 6, 2
FORGET = {"sigmoid": lambda a: 1 / (1 + np.exp(-a)), "exp": np.exp}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@functools.cache
def slstm(**options):
    return cells.slstm(HIDDEN, heads=HEADS, recurrent_init="orthogonal", param_dtype="float64", **options)


@functools.cache
def mlstm(**options):
    return cells.mlstm(HIDDEN, heads=HEADS, key_size=KEY_SIZE, param_dtype="float64", **options)


def plain_slstm(params, xs, forget):
    """Beck et al. 2024, eqs. 8-14, without a stabiliser, from zeros, for moderate numbers."""
    w_x, w_h, b = (np.asarray(a) for a in params)
    size = HIDDEN // HEADS
    h = c = n = np.zeros(HIDDEN)
    outputs = []
    for x in np.asarray(xs):
        r = [h[k * size : (k + 1) * size] @ w_h[k * size : (k + 1) * size] for k in range(HEADS)]
        recurrent = np.concatenate([np.split(part, 4) for part in r], axis=1)  # [gate, unit]
        i, f, g, o = np.split(x @ w_x + b, 4) + recurrent
        c = FORGET[forget](f) * c + np.exp(i) * np.tanh(g)
        n = FORGET[forget](f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        outputs.append(h)
    return np.array(outputs), c, n


@pytest.mark.parametrize("forget", FORGET)
def test_the_stabiliser_of_the_slstm_changes_nothing(forget):
    cell = slstm(forget=forget)
    params, _, xs = random_arrays(cell, "slstm-plain")
    final, hs = run(cell, params, cell.initial_state((xs.shape[1],)), xs)
    for b in range(xs.shape[1]):
        wanted, c, n = plain_slstm(params, xs[:, b], forget)
        assert_close(hs[:, b], wanted, 1e-12)
        scale = np.exp(np.asarray(final.stabilizer[b]).ravel())
        assert_close(final.cell[b].ravel() * scale, c, 1e-12)
        assert_close(final.normalizer[b].ravel() * scale, n, 1e-12)


@pytest.mark.parametrize("forget", FORGET)
def test_the_stabilised_mlstm_equals_attention_over_all_pairs_of_steps(forget):
    """The parallel form (Beck et al. 2024, appendix A.3), ``D_ts = F_t / F_s e^{i_s}`` for ``s ≤ t``."""
    cell = mlstm(forget=forget)
    params, _, xs = random_arrays(cell, "mlstm-plain")
    final, hs = run(cell, params, cell.initial_state((xs.shape[1],)), xs)
    keys = HEADS * KEY_SIZE
    z = np.asarray(cell.input_projection(params, xs))[:, 0]
    parts = np.split(z, np.cumsum([keys, keys, HIDDEN, HIDDEN, HEADS]), axis=1)
    q, k, v, o, i, f = (part.reshape(T, HEADS, -1) for part in parts)
    k = k / np.sqrt(KEY_SIZE)
    forgotten = np.cumprod(FORGET[forget](f[..., 0]), axis=0)
    for head in range(HEADS):
        decay = np.tri(T) * (forgotten[:, head, None] / forgotten[None, :, head]) * np.exp(i[:, head, 0])
        weights = (q[:, head] @ k[:, head].T) * decay
        divisor = np.maximum(np.abs(weights.sum(axis=1, keepdims=True)), 1)
        assert (divisor > 1).any()
        assert (divisor == 1).any()
        wanted = sigmoid(o[:, head]) * (weights @ v[:, head]) / divisor
        assert_close(np.asarray(hs)[:, 0].reshape(T, HEADS, -1)[:, head], wanted, 1e-12)
        memory = (v[:, head] * decay[-1][:, None]).T @ k[:, head]
        assert_close(final.memory[0, head] * np.exp(final.stabilizer[0, head]), memory, 1e-12)


@pytest.mark.parametrize("make", [slstm, mlstm])
def test_heads_are_those_of_the_reference(make):
    """Two heads, masks off: outputs and final states."""
    cell = make()
    name = cell.spec.kind
    params, state, xs = random_arrays(cell, f"two heads of {name}")
    if name in ADMISSIBLE:
        params, state = ADMISSIBLE[name](params, state)
    final, hs = run(cell, params, state, xs)
    wanted_final, wanted_hs = reference.run(name, params, state, xs)
    assert_close(tuple(final), wanted_final, 1e-11)
    assert_close(hs, wanted_hs, 1e-11)


@pytest.mark.parametrize("make", [slstm, mlstm])
@pytest.mark.parametrize("size", [-1e4, -300.0, 300.0, 1e4])
def test_exponential_gates_of_any_size_stay_finite(make, size):
    """Input gates of e^±10000, in outputs, states and gradients; the normaliser of an sLSTM starts at 1."""
    cell = make()
    params, _, xs = random_arrays(cell, "large gates")
    columns = slice(0, HIDDEN) if cell is slstm() else slice(-2 * HEADS, -HEADS)
    params = params._replace(b=params.b.at[columns].set(size))
    start = cell.initial_state((xs.shape[1],))

    def loss(params, start):
        final, hs = run(cell, params, start, xs)
        return hs.sum() + sum(part.sum() for part in jax.tree.leaves(final))

    value, gradients = jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, start)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    if cell is slstm():
        states, hs = walk(cell, params, jax.tree.map(lambda a: a[0], start), xs[:, 0])
        assert np.all(np.asarray(states[1].normalizer) == 1)
        assert np.any(np.abs(hs[0]) > 0.01)  # σ(o) tanh(g), whatever the input gate


def test_the_determinant_of_an_slstm_where_forget_gates_set_the_scale():
    """With a stabiliser above all input gates no direction is null, and the closed form is that of the matrix."""
    cell = slstm()
    params, state, xs = random_arrays(cell, "slstm-determinant")
    params, state = ADMISSIBLE["slstm"](params, state)
    state = state._replace(stabilizer=state.stabilizer + 10.0)
    z = cell.input_projection(params, xs[0])
    matrices = jit(jax.vmap(lambda s, z: autodiff_jacobian(cell, params, s, z)))(state, z)
    found = step_log_abs_det(cell, params, state, z)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, np.linalg.slogdet(matrices)[1], rtol=0, atol=1e-10)


def test_heads_of_an_slstm_do_not_meet():
    """The outputs of one head do not depend on the state of the other."""
    cell = slstm()
    params, state, xs = random_arrays(cell, "slstm-heads")
    params, state = ADMISSIBLE["slstm"](params, state)
    other = state._replace(hidden=state.hidden.at[:, 1].add(1.0))
    one, two = (np.asarray(run(cell, params, s, xs)[1]).reshape(*xs.shape[:2], HEADS, -1) for s in (state, other))
    np.testing.assert_array_equal(one[..., 0, :], two[..., 0, :])
    assert np.abs(one[..., 1, :] - two[..., 1, :]).max() > 1e-3


def test_initial_values_of_the_slstm():
    """Recurrent matrices zero, forget biases from 5 to -7 within each head, all other biases zero."""
    cell = cells.slstm(40, heads=4, param_dtype="float64")
    params = cell.init(KEY, 30)
    assert params.w_h.shape == (40, 40)
    assert not np.any(params.w_h)
    np.testing.assert_allclose(np.std(params.w_x), np.sqrt(2 / (5 * 30)), rtol=0.05)
    i, f, g, o = np.split(np.asarray(params.b), 4)
    assert not np.any([i, g, o])
    np.testing.assert_allclose(f.reshape(4, 10), np.tile(5 - 12 * (np.arange(10) / 9) ** 0.3, (4, 1)))
    one_unit = cells.slstm(2, heads=2, param_dtype="float64").init(KEY, 3)
    np.testing.assert_array_equal(one_unit.b[2:4], [5.0, 5.0])


def test_each_head_and_gate_of_an_slstm_has_an_orthogonal_block():
    w_h = np.asarray(cells.slstm(6, heads=2, recurrent_init="orthogonal", param_dtype="float64").init(KEY, 3).w_h)
    blocks = w_h.reshape(2, 3, 4, 3).swapaxes(1, 2).reshape(8, 3, 3)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(3), atol=1e-12)
    assert len(np.unique(w_h)) == w_h.size


def test_initial_values_of_the_mlstm():
    """Gates start at their biases: forget gates from 3 to 6 over the heads, input gates near zero."""
    cell = cells.mlstm(400, heads=200, key_size=1, param_dtype="float64")
    params = cell.init(KEY, 30)
    vectors = 2 * 200 + 2 * 400
    assert not np.any(params.w_x[:, vectors:])
    np.testing.assert_allclose(np.std(params.w_x[:, :vectors]), np.sqrt(2 / (5 * 30)), rtol=0.05)
    rest, b_i, b_f = np.split(np.asarray(params.b), [vectors, vectors + 200])
    assert not np.any(rest)
    np.testing.assert_allclose(np.std(b_i), 0.1, rtol=0.2)
    np.testing.assert_allclose(b_f, np.linspace(3, 6, 200))
    np.testing.assert_array_equal(cells.mlstm(4).init(KEY, 3).b[-1], 3.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cells.slstm(6, heads=4), "`heads` must divide `hidden_size`, 6, but 4 does not"),
        (lambda: cells.mlstm(6, heads=4), "`heads` must divide `hidden_size`, 6, but 4 does not"),
        (lambda: cells.slstm(6, heads=True), "`heads` must be a positive whole number, not True"),
        (lambda: cells.slstm(6, forget="tanh"), "`forget` must be one of sigmoid, exp, not 'tanh'"),
        (lambda: cells.mlstm(6, forget="tanh"), "`forget` must be one of sigmoid, exp, not 'tanh'"),
        (lambda: cells.mlstm(6, key_size=-1), "`key_size` must be a positive whole number, not -1"),
        (lambda: cells.slstm(6, recurrent_init="ones"), "`recurrent_init` must be one of"),
        (lambda: cells.state_dropout(cells.mlstm(6)), "a mlstm cell has no recurrent product"),
    ],
)
def test_bad_options_are_one_clear_line(make, message):
    with pytest.raises(UserError) as raised:
        make()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [cells.slstm, cells.mlstm])
def test_products_in_bfloat16_keep_the_state_in_float32(make):
    options = {"recurrent_init": "orthogonal"} if make is cells.slstm else {}
    cell = make(8, heads=2, dtype="bfloat16", **options)
    params, xs = cell.init(KEY, 3), jax.random.normal(KEY, (5, 2, 3), jnp.float32)
    final, hs = run(cell, params, cell.initial_state((2,)), xs)
    exact = run(make(8, heads=2, **options), params, cell.initial_state((2,)), xs)
    assert {leaf.dtype for leaf in jax.tree.leaves((final, hs))} == {np.dtype("float32")}
    np.testing.assert_allclose(hs, exact[1], rtol=0.05, atol=0.03)
