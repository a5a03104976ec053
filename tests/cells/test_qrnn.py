"""The QRNN: its convolution and poolings against the paper's formulas, texts cut in two, and initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.cells.cell_facts import JacobianStructure, Recurrence
from rnnlm_jax.jacobians.step_jacobian import step_jacobian
from tests.unroll.programs import assert_close, random_arrays, random_weights, run, run_with_gradients

H, D, T, B = 5, 3, 7, 2
ORDER = {"f": "fg", "fo": "fgo", "ifo": "ifgo"}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def paper(params, xs, pooling, window):
    """Convolve the whole text first, then pool: outputs ``[T, B, H]``."""
    gates, xs = ORDER[pooling], np.asarray(xs)
    kernel = np.asarray(params.w_x).reshape(xs.shape[-1], window, len(gates), H)
    padded = np.concatenate([np.zeros((window - 1, *xs.shape[1:])), xs])
    a = sum(
        np.einsum("tbd,dgh->gtbh", padded[window - 1 - back : window - 1 - back + len(xs)], kernel[:, back])
        for back in range(window)
    )
    a = dict(zip(gates, a + np.asarray(params.b).reshape(len(gates), 1, 1, H), strict=True))
    c, hs = np.zeros((xs.shape[1], H)), []
    for t in range(len(xs)):
        f, z = sigmoid(a["f"][t]), np.tanh(a["g"][t])
        c = f * c + (sigmoid(a["i"][t]) if "i" in gates else 1 - f) * z
        hs.append(sigmoid(a["o"][t]) * c if "o" in gates else c)
    return np.array(hs)


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("pooling", ORDER)
def test_it_is_a_convolution_and_a_pooling(pooling, window):
    cell = cells.qrnn(H, pooling, window, param_dtype="float64")
    params, state, xs = random_arrays(cell, f"{pooling} {window}", steps=T)
    zeros = cell.initial_state(xs.shape[1:2])
    weights = random_weights(cell, "qrnn", steps=T)
    (_, hs), _ = run_with_gradients(cell, params, zeros, xs, weights)
    np.testing.assert_allclose(hs, paper(params, xs, pooling, window), rtol=0, atol=1e-14)
    found, wanted = (run_with_gradients(cell, params, state, xs, weights, executor=e) for e in ("structured", "scan"))
    assert_close(found, wanted)


@pytest.mark.parametrize("pooling", ORDER)
def test_a_text_may_be_cut_anywhere(pooling):
    cell = cells.qrnn(H, pooling, 4, param_dtype="float64")
    params, _, xs = random_arrays(cell, "cut", steps=T)
    start = cell.initial_state(xs.shape[1:2])
    final, hs = run(cell, params, start, xs)
    for cut in (1, 2, 5):
        middle, before = run(cell, params, start, xs[:cut])
        end, after = run(cell, params, middle, xs[cut:])
        assert_close(end, final, 1e-14)
        assert_close(jnp.concatenate([before, after]), hs, 1e-14)


def test_a_reset_hides_the_inputs_before_it():
    cell = cells.qrnn(H, param_dtype="float64")
    params, state, xs = random_arrays(cell, "reset", steps=T)
    resets = jnp.zeros(xs.shape[:2], bool).at[3].set(True)
    _, hs = run(cell, params, state, xs, resets=resets)
    _, alone = run(cell, params, cell.initial_state(xs.shape[1:2]), xs[3:])
    assert_close(hs[3:], alone, 1e-14)


def test_structure_by_width_of_the_convolution():
    """Without earlier inputs it is linear; with them it is so given their sums, which follow a chain of their own."""
    one, two = (cells.qrnn(H, window_size=k, param_dtype="float64") for k in (1, 2))
    assert one.recurrence is Recurrence.LINEAR
    assert one.facts.jacobian is JacobianStructure.DIAGONAL
    assert (one.initial_state(()).due, one.initial_state(()).pending) == (None, None)
    assert two.recurrence is Recurrence.SEPARABLE
    assert two.facts.newton_iterations == 2
    params, state, xs = random_arrays(two, "structure", batch=())
    matrix = np.asarray(step_jacobian(two, params, state, xs[0]))
    assert matrix.shape == (5 * H, 5 * H)  # c, one sum due, three sums pending
    power = np.linalg.matrix_power(matrix, 3)
    assert np.all(power[H:] == 0)  # sums of earlier inputs leave after k - 1 steps
    params, state, xs = random_arrays(one, "structure", batch=())
    z = one.input_projection(params, xs[0])
    np.testing.assert_allclose(step_jacobian(one, params, state, xs[0]), np.diag(sigmoid(np.asarray(z)[:H])))


def test_newton_solves_a_sequence_in_the_declared_iterations():
    """From any guess two linearised passes give the states of the scan, and one does not."""
    cell = cells.qrnn(H, window_size=3, param_dtype="float64")
    params, state, xs = random_arrays(cell, "newton", batch=(), steps=T)
    zs = cell.input_projection(params, xs)

    def scan(step):
        states, s = [], state
        for t in range(T):
            s = step(s, t)
            states.append(s)
        return jax.tree.map(lambda *parts: jnp.stack(parts), *states)

    wanted = scan(lambda s, t: cell.step(params, s, zs[t]))
    rng = np.random.default_rng(0)
    guess = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), wanted)

    def newton(guess):
        def step(s, t):
            before = state if t == 0 else jax.tree.map(lambda a: a[t - 1], guess)
            change = jax.tree.map(jnp.subtract, s, before)
            value, moved = jax.jvp(lambda s: cell.step(params, s, zs[t]), (before,), (change,))
            return jax.tree.map(jnp.add, value, moved)

        return scan(step)

    first = newton(guess)
    assert np.abs(np.asarray(first.cell - wanted.cell)).max() > 1e-3
    assert_close(newton(first), wanted)


def test_initial_values():
    """Uniform within one over the root of the number of inputs, of the whole window."""
    params = cells.qrnn(40, "ifo", 3, param_dtype="float64").init(jax.random.key(0), 30)
    limit = 1 / np.sqrt(90)
    assert params.w_x.shape == (30, 3 * 4 * 40)
    for array in params:
        assert 0.95 * limit < np.abs(array).max() < limit
        assert abs(np.asarray(array).mean()) < 0.2 * limit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "of"}, "`pooling` must be one of f, fo, ifo, not 'of'"),
        ({"window_size": 0}, "`window_size` must be a positive whole number, not 0"),
        ({"window_size": 1.5}, "`window_size` must be a positive whole number, not 1.5"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message) as caught:
        cells.qrnn(H, **options)
    assert "\n" not in str(caught.value)
