"""Gated linear attention and DeltaNet: recurrent = parallel = chunk by chunk; options, and initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.jacobians.log_determinant import has_closed_form, step_log_abs_det
from rnnlm_jax.jacobians.step_jacobian import autodiff_jacobian
from tests.unroll.programs import assert_close, jit, random_arrays, run

KEY = jax.random.key(0)
HEADS, HIDDEN, KEY_SIZE, STEPS = 2, 6, 2, 12
GLA = cells.gla(HIDDEN, heads=HEADS, key_size=KEY_SIZE, gate_rank=3, temperature=4.0, param_dtype="float64")
DELTANET = cells.deltanet(HIDDEN, heads=HEADS, key_size=KEY_SIZE, param_dtype="float64")
REFLECTING = cells.deltanet(HIDDEN, heads=HEADS, key_size=KEY_SIZE, negative_eigenvalues=True, param_dtype="float64")


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def swish(a):
    return a * sigmoid(a)


def one_sequence(cell, name):
    """Final memory and outputs of the first sequence, its initial memory, and its projected inputs."""
    params, state, xs = random_arrays(cell, name, steps=STEPS)
    final, hs = run(cell, params, state, xs)
    z = np.asarray(cell.input_projection(params, xs))[:, 0]
    return np.asarray(final.memory)[0], np.asarray(hs)[:, 0], np.asarray(state.memory)[0], z


def heads_of(z, *sizes):
    """The parts of the projected inputs by head, ``[T, heads, ·]``."""
    return [part.reshape(len(z), HEADS, -1) for part in np.split(z, np.cumsum(sizes)[:-1], axis=1)]


def test_gla_equals_attention_with_decay_over_all_pairs_of_steps():
    """The parallel form: ``o_t = q_t D_t S_0 + Σ_{s ≤ t} (q_t · (D_t / D_s) k_s) v_s``, D the product of decays."""
    final, hs, memory, z = one_sequence(GLA, "parallel-gla")
    keys = HEADS * KEY_SIZE
    q, k, v, r, a = heads_of(z, keys, keys, HIDDEN, HIDDEN, keys)
    decays = np.cumprod(sigmoid(a) ** (1 / 4.0), axis=0)
    causal = np.tri(STEPS)
    for head in range(HEADS):
        d = decays[:, head]
        weights = causal * ((q[:, head] * d) @ (k[:, head] / d).T)
        o = weights @ v[:, head] + (q[:, head] * d) @ memory[head].T
        wanted = swish(r[:, head]) * o / np.sqrt(KEY_SIZE)
        assert_close(hs.reshape(STEPS, HEADS, -1)[:, head], wanted, 1e-11)
        at_end = memory[head] * d[-1] + v[:, head].T @ (k[:, head] / d * d[-1])
        assert_close(final[head], at_end, 1e-11)


@pytest.mark.parametrize("cell", [DELTANET, REFLECTING])
@pytest.mark.parametrize("chunk", [3, STEPS])
def test_deltanet_equals_its_chunks_of_matrix_products(cell, chunk):
    """Yang et al. 2024, section 3.2: corrections are ``U = T (V - K S_0ᵀ)``, ``T = (I + tril(β K Kᵀ, -1))⁻¹ β``."""
    name = "chunked-deltanet"
    final, hs, memory, z = one_sequence(cell, name)
    keys = HEADS * KEY_SIZE
    q, k, v, b = heads_of(z, keys, keys, HIDDEN, HEADS)
    q, k = (swish(a) / np.sqrt((swish(a) ** 2).sum(-1, keepdims=True) + 1e-6) for a in (q, k))
    v, beta = swish(v), sigmoid(b) * (2 if cell is REFLECTING else 1)
    for head in range(HEADS):
        s = memory[head]
        for start in range(0, STEPS, chunk):
            part = slice(start, start + chunk)
            qs, ks, vs, betas = (a[part, head] for a in (q, k, v, beta))
            inverse = np.linalg.inv(np.eye(chunk) + np.tril(betas * (ks @ ks.T), -1))
            u = inverse @ (betas * (vs - ks @ s.T))
            outputs = qs @ s.T + np.tril(qs @ ks.T) @ u
            assert_close(hs.reshape(STEPS, HEADS, -1)[part, head], outputs, 1e-11)
            s = s + u.T @ ks
        assert_close(final[head], s, 1e-11)


def test_deltanet_overwrites_what_is_stored_under_a_key():
    """β = 1 and the same key twice: reading with this key gives the second value."""
    cell = cells.deltanet(2, param_dtype="float64")
    state = cell.initial_state(())
    for value in (5.0, -7.0):
        z = jnp.asarray([3e4, 0.0, 3e4, 0.0, value, 3.0, 40.0])  # q, k, v, β
        state = cell.step(None, state, z)
    wanted = swish(np.array([-7.0, 3.0]))
    np.testing.assert_allclose(cell.output(None, state, z), wanted, rtol=1e-8)


def test_negative_eigenvalues_tell_parity():
    """A step with ``β = 2`` along the stored key changes the sign of what is stored; without them it cannot."""
    start = jnp.ones((1, 1, 1))
    for negative, wanted in ((True, -1.0), (False, 0.0)):
        cell = cells.deltanet(1, negative_eigenvalues=negative, param_dtype="float64")
        after = cell.step(None, cell.initial_state(())._replace(memory=start), jnp.asarray([0.0, 50.0, 0.0, 60.0]))
        np.testing.assert_allclose(after.memory, np.full((1, 1, 1), wanted), atol=1e-8)


@pytest.mark.parametrize("cell", [GLA, DELTANET, REFLECTING])
def test_log_determinants_have_a_closed_form(cell):
    params, state, xs = random_arrays(cell, "determinants")
    z = cell.input_projection(params, xs[0])
    matrices = jit(jax.vmap(lambda s, z: autodiff_jacobian(cell, params, s, z)))(state, z)
    assert has_closed_form(cell)
    found = step_log_abs_det(cell, params, state, z)
    np.testing.assert_allclose(found, np.linalg.slogdet(matrices)[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("bias", [-60.0, 60.0])
def test_log_determinants_are_exact_where_gates_are_saturated(bias):
    """β = 1 but for rounding: ``ln(1 - σ(b) ‖k‖²)`` keeps its digits; a matrix would lose them."""
    cell = cells.deltanet(1, param_dtype="float64")
    z = jnp.asarray([1.0, 1e5, 1.0, bias])
    short = 1e-6 / (1e10 + 1e-6)
    wanted = np.log(sigmoid(-bias) + sigmoid(bias) * short) if bias > 0 else -(sigmoid(bias) * (1 - short))
    np.testing.assert_allclose(step_log_abs_det(cell, None, cell.initial_state(()), z), wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ["gla", "deltanet"])
def test_maps_are_glorot_by_block_and_biases_zero(name):
    hidden, inputs = 40, 30
    params = cells.make(name, hidden, heads=4, param_dtype="float64").init(KEY, inputs)
    widths = {"gla": (40, 40, 40, 40), "deltanet": (40, 40, 40, 4)}[name]
    blocks = np.split(np.asarray(params.w_x), np.cumsum(widths)[:-1], axis=1)
    maps = [(block, inputs, width) for block, width in zip(blocks, widths, strict=True)]
    if name == "gla":
        maps += [(params.w_down, inputs, 16), (params.w_decay, 16, hidden)]
        assert not np.any(params.b_decay)
        assert not np.any(params.b_gate)
    for w, rows, columns in maps:
        limit = np.sqrt(6 / (rows + columns))
        assert w.shape == (rows, columns)
        assert 0.9 * limit < np.abs(w).max() < limit


def test_sizes_follow_from_heads():
    for make in (cells.gla, cells.deltanet):
        state = jax.eval_shape(lambda m=make: m(6, heads=3).initial_state((4,)))
        assert state.memory.shape == (4, 3, 2, 2)
        state = jax.eval_shape(lambda m=make: m(6, heads=3, key_size=5).initial_state(()))
        assert state.memory.shape == (3, 2, 5)


def test_flops_count_the_products_with_the_memory():
    for cell, products in ((GLA, 2), (DELTANET, 3)):
        shapes = jax.eval_shape(lambda c=cell: c.init(KEY, 3))
        matrices = sum(2 * leaf.size for leaf in shapes if leaf.ndim == 2)
        assert cell.token_flops(shapes) == matrices + 2 * products * HIDDEN * KEY_SIZE


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cells.gla(6, heads=4), "`heads` must divide `hidden_size`, 6, but 4 does not"),
        (lambda: cells.deltanet(6, heads=4), "`heads` must divide `hidden_size`, 6, but 4 does not"),
        (lambda: cells.gla(6, heads=0), "`heads` must be a positive whole number, not 0"),
        (lambda: cells.gla(6, key_size=0), "`key_size` must be a positive whole number, not 0"),
        (lambda: cells.gla(6, gate_rank=1.5), "`gate_rank` must be a positive whole number, not 1.5"),
        (lambda: cells.gla(6, temperature=0.0), "`temperature` must be above 0, not 0.0"),
        (lambda: cells.gla(6, temperature="hot"), "`temperature` must be a finite number, not 'hot'"),
        (lambda: cells.deltanet(6, negative_eigenvalues=1), "`negative_eigenvalues` must be true or false, not 1"),
        (lambda: cells.state_dropout(cells.gla(6)), "a gla cell has no recurrent product"),
        (lambda: cells.zoneout(cells.gla(6), hidden=0.1), "has no part 'hidden' for zoneout: it has memory"),
    ],
)
def test_bad_options_are_one_clear_line(make, message):
    with pytest.raises(UserError) as raised:
        make()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [cells.gla, cells.deltanet])
def test_products_in_bfloat16_keep_the_state_in_float32(make):
    cell = make(8, heads=2, dtype="bfloat16")
    params, xs = cell.init(KEY, 3), jax.random.normal(KEY, (5, 2, 3), jnp.float32)
    final, hs = run(cell, params, cell.initial_state((2,)), xs)
    exact = run(make(8, heads=2), params, cell.initial_state((2,)), xs)
    assert (final.memory.dtype, hs.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(hs, exact[1], rtol=0.05, atol=0.03)
