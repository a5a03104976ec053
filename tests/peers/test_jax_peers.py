"""Cells against those of flax, equinox and haiku in float64, with every bias non-zero: outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, unroll

pytestmark = pytest.mark.peers

T, B, D, H = 5, 3, 4, 6


def arrays(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape) * 0.6) for shape in shapes]


def check(cell, params, peer, xs):
    """Check that outputs, and the gradient of their weighted sum by the inputs, agree to 1e-10."""
    (weights,) = arrays(9, (T, B, H))

    def ours(xs):
        return unroll(cell, params, cell.initial_state((B,)), xs)[1]

    np.testing.assert_allclose(ours(xs), peer(xs), rtol=0, atol=1e-10)
    ours_gradient = jax.grad(lambda xs: (weights * ours(xs)).sum())(xs)
    peer_gradient = jax.grad(lambda xs: (weights * peer(xs)).sum())(xs)
    np.testing.assert_allclose(ours_gradient, peer_gradient, rtol=0, atol=1e-10)


def gates(array, count):
    return jnp.split(array, count, axis=-1)


def test_flax_lstm():
    linen = pytest.importorskip("flax.linen")
    w_x, w_h, b, xs = arrays(0, (D, 4 * H), (H, 4 * H), (4 * H,), (T, B, D))
    kernels = {f"i{g}": {"kernel": w} for g, w in zip("ifgo", gates(w_x, 4), strict=True)}
    for g, w, bias in zip("ifgo", gates(w_h, 4), gates(b, 4), strict=True):
        kernels[f"h{g}"] = {"kernel": w, "bias": bias}
    rnn = linen.RNN(linen.LSTMCell(H, dtype=jnp.float64, param_dtype=jnp.float64), time_major=True)
    cell = cells.lstm(H, param_dtype="float64")
    check(cell, cells.LSTMParams(w_x, w_h, b), lambda xs: rnn.apply({"params": {"cell": kernels}}, xs), xs)


def test_flax_gru_resets_after_the_product():
    linen = pytest.importorskip("flax.linen")
    w_x, w_h, b, b_n, xs = arrays(1, (D, 3 * H), (H, 3 * H), (3 * H,), (H,), (T, B, D))
    kernels = {f"i{g}": {"kernel": w, "bias": v} for g, w, v in zip("rzn", gates(w_x, 3), gates(b, 3), strict=True)}
    kernels |= {f"h{g}": {"kernel": w} for g, w in zip("rzn", gates(w_h, 3), strict=True)}
    kernels["hn"]["bias"] = b_n
    rnn = linen.RNN(linen.GRUCell(H, dtype=jnp.float64, param_dtype=jnp.float64), time_major=True)
    cell = cells.gru(H, param_dtype="float64")
    check(cell, cells.GRUParams(w_x, w_h, b, b_n), lambda xs: rnn.apply({"params": {"cell": kernels}}, xs), xs)


def test_equinox_lstm():
    eqx = pytest.importorskip("equinox")
    w_x, w_h, b, xs = arrays(2, (D, 4 * H), (H, 4 * H), (4 * H,), (T, B, D))
    blank = eqx.nn.LSTMCell(D, H, key=jax.random.key(0))
    peer = eqx.tree_at(lambda c: (c.weight_ih, c.weight_hh, c.bias), blank, (w_x.T, w_h.T, b))
    cell = cells.lstm(H, param_dtype="float64")
    check(cell, cells.LSTMParams(w_x, w_h, b), lambda xs: scan_equinox(peer, xs, (zeros(), zeros())), xs)


def test_equinox_gru_resets_after_the_product():
    eqx = pytest.importorskip("equinox")
    w_x, w_h, b, b_n, xs = arrays(3, (D, 3 * H), (H, 3 * H), (3 * H,), (H,), (T, B, D))
    blank = eqx.nn.GRUCell(D, H, key=jax.random.key(0))
    peer = eqx.tree_at(lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n), blank, (w_x.T, w_h.T, b, b_n))
    cell = cells.gru(H, param_dtype="float64")
    check(cell, cells.GRUParams(w_x, w_h, b, b_n), lambda xs: scan_equinox(peer, xs, zeros()), xs)


def zeros():
    return jnp.zeros((B, H))


def scan_equinox(cell, xs, state):
    def step(state, x):
        state = jax.vmap(cell)(x, state)
        return state, state[0] if isinstance(state, tuple) else state

    return jax.lax.scan(step, state, xs)[1]


def test_haiku_lstm_orders_gates_i_g_f_o_and_adds_one_to_the_forget_gate():
    hk = pytest.importorskip("haiku")
    w_x, w_h, b, xs = arrays(4, (D, 4 * H), (H, 4 * H), (4 * H,), (T, B, D))

    def reorder(a):
        i, f, g, o = gates(a, 4)
        return jnp.concatenate([i, g, f, o], axis=-1)

    shifted = b.at[H : 2 * H].add(-1.0)
    weights = {"lstm/linear": {"w": reorder(jnp.concatenate([w_x, w_h])), "b": reorder(shifted)}}
    peer = haiku_unroll(hk, lambda: hk.LSTM(H), weights)
    check(cells.lstm(H, param_dtype="float64"), cells.LSTMParams(w_x, w_h, b), peer, xs)


def test_haiku_gru_resets_before_the_product_and_its_update_gate_writes():
    hk = pytest.importorskip("haiku")
    w_x, w_h, b, xs = arrays(5, (D, 3 * H), (H, 3 * H), (3 * H,), (T, B, D))

    def reorder(a):
        r, u, n = gates(a, 3)
        return jnp.concatenate([-u, r, n], axis=-1)  # haiku's z is 1 - u

    weights = {"gru": {"w_i": reorder(w_x), "w_h": reorder(w_h), "b": reorder(b)}}
    cell = cells.gru(H, reset="before", param_dtype="float64")
    check(cell, cells.GRUParams(w_x, w_h, b, None), haiku_unroll(hk, lambda: hk.GRU(H), weights), xs)


def haiku_unroll(hk, core, weights):
    def run(xs):
        cell = core()
        state = jax.tree.map(lambda a: a.astype(jnp.float64), cell.initial_state(B))
        return hk.dynamic_unroll(cell, xs, state)[0]

    transformed = hk.without_apply_rng(hk.transform(run))
    return lambda xs: transformed.apply(weights, xs)
