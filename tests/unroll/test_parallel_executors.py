"""The executors that run in parallel over time: results, gradients and certificates, for every cell that they claim."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import trained_networks
from rnnlm_jax import cells, unroll
from rnnlm_jax.errors import UserError
from rnnlm_jax.unroll import EXECUTORS, Associative, AssociativeBackward, Newton, certified_unroll, choose_executor
from rnnlm_jax.unroll.control import Control
from tests.unroll.programs import (
    CELLS,
    NAMES,
    ZOO,
    B,
    assert_close,
    dot,
    make,
    random_arrays,
    random_weights,
    run_with_gradients,
)

#: Not a power of two, and not a multiple of the chunk.
STEPS = 13
CHUNK = 5
PARALLEL = {
    "associative": Associative(chunk=CHUNK),
    "associative-backward": AssociativeBackward(chunk=CHUNK),
    "newton": Newton(chunk=CHUNK),
}
MASK = np.random.default_rng(0).random((STEPS, B)) < 0.8
RESETS = np.random.default_rng(1).random((STEPS, B)) < 0.2
LENGTHS = np.array([STEPS, 7, 0, 11])[:B]
CONTROL = {"mask": jnp.asarray(MASK), "resets": jnp.asarray(RESETS), "lengths": jnp.asarray(LENGTHS, jnp.int32)}


def claims(executor, cell):
    layers = getattr(cell, "layers", (cell,))
    shapes = (jax.eval_shape(lambda: None), jax.eval_shape(lambda: jnp.zeros((1, 1, 1))))
    return all(EXECUTORS[executor].why_not(layer, *shapes, Control(None, None), "cpu") is None for layer in layers)


def saturated(arrays):
    """Parameters ten times as large: gates at 0 or 1, and Jacobians of every size."""
    params, state, xs = arrays
    return jax.tree.map(lambda a: 10 * a, params), state, xs


#: (executor, cell) for every cell that an executor claims.
CLAIMS = [(executor, name) for executor in PARALLEL for name in NAMES if claims(executor, CELLS[name])]


def with_control(cell, arrays, weights, executor):
    return run_with_gradients(cell, *arrays, weights, executor=executor, **CONTROL)


@functools.cache
def by_scan(name, case):
    """Arrays, weights of the loss, and the plain scan's results and gradients, in float64."""
    arrays, weights = random_arrays(CELLS[name], name, steps=STEPS), random_weights(CELLS[name], name, steps=STEPS)
    if case == "saturated":
        arrays = saturated(arrays)
    if case == "float32":  # numbers that float32 has too
        arrays, weights = jax.tree.map(lambda a: a.astype("float32").astype("float64"), (arrays, weights))
    return arrays, weights, with_control(CELLS[name], arrays, weights, "scan")


def assert_near(actual, wanted, tolerance):
    """Close to ``tolerance`` of the largest number of each of: final state and outputs, gradients by group."""
    (results, gradients), (wanted_results, wanted_gradients) = actual, wanted
    assert_close(results, wanted_results, tolerance)
    for group, wanted_group in zip(gradients, wanted_gradients, strict=True):
        scale = max(float(np.abs(leaf).max(initial=0)) for leaf in jax.tree.leaves(wanted_group))
        for leaf, wanted_leaf in zip(jax.tree.leaves(group), jax.tree.leaves(wanted_group), strict=True):
            np.testing.assert_allclose(leaf, wanted_leaf, rtol=0, atol=tolerance * max(scale, 1e-3))


@pytest.mark.parametrize("case", ["random", "saturated"])
@pytest.mark.parametrize(("executor", "name"), CLAIMS)
def test_results_and_gradients_are_those_of_the_scan(executor, name, case):
    arrays, weights, wanted = by_scan(name, case)
    assert_near(with_control(CELLS[name], arrays, weights, PARALLEL[executor]), wanted, 1e-10)


@pytest.mark.parametrize(("executor", "name"), CLAIMS)
def test_float32_is_near_the_scan_in_float64(executor, name):
    arrays, weights, wanted = by_scan(name, "float32")
    narrow = jax.tree.map(lambda a: a.astype("float32"), (arrays, weights))
    assert_near(with_control(make(name, param_dtype="float32"), *narrow, PARALLEL[executor]), wanted, 1e-5)


def test_the_claims():
    """Every linear cell runs by ``associative``; ``newton`` runs all."""
    by_executor = {executor: {name for each, name in CLAIMS if each == executor} for executor in PARALLEL}
    assert by_executor["newton"] == set(NAMES)
    linear = {name for name in ZOO if CELLS[name].facts.is_linear or CELLS[name].facts.newton_iterations}
    assert by_executor["associative"] == linear
    assert {"linear", "mingru"} <= linear


#: A cell for each executor, and the diagonal variant of Newton's method.
EXAMPLES = {
    "associative": ("mingru", PARALLEL["associative"]),
    "associative-backward": ("feed-forward", PARALLEL["associative-backward"]),
    "newton": ("gru", PARALLEL["newton"]),
    "diagonal": ("elman-tanh", Newton(chunk=CHUNK, jacobian="diagonal")),
    "damped": ("lstm", Newton(damping=0.3)),
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize(("steps", "reverse"), [(0, False), (1, True), (9, True)])
def test_few_steps_and_the_other_direction(example, steps, reverse):
    name, executor = EXAMPLES[example]
    arrays, weights = random_arrays(CELLS[name], name, steps=steps), random_weights(CELLS[name], name, steps=steps)
    actual, wanted = (
        run_with_gradients(CELLS[name], *arrays, weights, reverse=reverse, executor=each) for each in (executor, "scan")
    )
    assert_near(actual, wanted, 1e-10)


@pytest.mark.parametrize("example", ["associative", "newton"])
def test_second_derivatives_and_vmap(example):
    """Products with the Hessian, of two sequences by ``vmap``, forward over reverse."""
    name, executor = EXAMPLES[example]
    cell = CELLS[name]
    arrays, weights = random_arrays(cell, name, steps=STEPS), random_weights(cell, name, steps=STEPS)
    tangents = jax.tree.map(lambda a: jnp.cos(a + 1.0), arrays)

    def product(executor):
        def loss(arrays, factor):
            return factor * dot(weights, jax.tree.map(jnp.sin, unroll(cell, *arrays, executor=executor)))

        def along(factor):
            return jax.jvp(jax.grad(lambda arrays: loss(arrays, factor)), (arrays,), (tangents,))[1]

        return jax.jit(jax.vmap(along))(jnp.array([1.0, 2.0]))

    assert_close(product(executor), product("scan"), 1e-9)


def random_network(gain, units=32):
    """A random network ``h_t = tanh(g G h_{t-1})`` without input; chaotic above g = 1 (Sompolinsky et al. 1988)."""
    cell = cells.elman(units, param_dtype="float64")
    draw = np.random.default_rng(3).standard_normal
    params = cell.init(jax.random.key(0), 1)._replace(w_h=jnp.asarray(gain * draw((units, units)) / np.sqrt(units)))
    state = cell.initial_state((2,))._replace(hidden=jnp.asarray(draw((2, units))))
    return cell, params, state


def test_a_chaotic_network_is_run_by_the_scan():
    cell, params, state = random_network(3.0)
    arrays = (params, state, jnp.zeros((1000, 2, 1)))
    newton = Newton(chunk=1000, max_iterations=20)
    final, hs, (certificate,) = jax.jit(lambda *arrays: certified_unroll(cell, *arrays, executor=newton))(*arrays)
    assert not np.any(certificate.converged)
    assert np.all(np.asarray(certificate.iterations) == 20)
    assert not np.any(np.asarray(certificate.residual) <= 1e-6)
    wanted_final, wanted_hs = jax.jit(lambda *arrays: unroll(cell, *arrays, executor="scan"))(*arrays)
    np.testing.assert_array_equal(hs, wanted_hs)
    np.testing.assert_array_equal(final.hidden, wanted_final.hidden)


def test_a_stable_network_converges_within_the_bound_on_iterations():
    cell, params, state = random_network(0.9)
    arrays = (params, state, jnp.zeros((1000, 2, 1)))
    _, hs, (certificate,) = certified_unroll(cell, *arrays, executor=Newton(chunk=1000))
    assert np.all(certificate.converged)
    assert np.all(np.asarray(certificate.iterations) < 20)
    assert np.all(np.asarray(certificate.residual) <= 16 * np.finfo("float64").eps)
    assert_close(hs, unroll(cell, *arrays, executor="scan")[1], 1e-10)


def test_there_are_never_more_iterations_than_steps():
    """After k iterations k steps are exact: a chaotic network of few steps converges, however far the guess is."""
    cell, params, state = random_network(30.0)
    for steps in (1, 2, 6):
        arrays = (params, state, jnp.zeros((steps, 2, 1)))
        _, hs, (certificate,) = certified_unroll(cell, *arrays)
        assert np.all(np.asarray(certificate.iterations) <= steps)
        assert_close(hs, unroll(cell, *arrays, executor="scan")[1], 1e-10)


def test_a_solved_step_stays_solved():
    """In float32, where the guess of later, chaotic steps must not decide whether an earlier one is exact enough."""
    units, steps = 32, 300
    draw = np.random.default_rng(0).standard_normal
    cell = cells.elman(units, bias=False, param_dtype="float32")
    w_h = jnp.asarray(3 / np.sqrt(units) * draw((units, units)), "float32")
    params = cells.ElmanParams(jnp.eye(units, dtype="float32"), w_h, None)
    xs = jnp.asarray(draw((steps, 1, units)), "float32")
    newton = Newton(chunk=steps, max_iterations=steps)
    _, _, (certificate,) = certified_unroll(cell, params, cell.initial_state((1,)), xs, executor=newton)
    assert np.all(certificate.converged)


def test_only_the_sequence_that_does_not_converge_is_run_by_the_scan():
    cell, params, state = random_network(3.0)
    state = state._replace(hidden=state.hidden.at[1].set(0.0))  # a fixed point
    arrays = (params, state, jnp.zeros((1000, 2, 1)))
    _, hs, (certificate,) = certified_unroll(cell, *arrays, executor=Newton(chunk=1000, max_iterations=5))
    np.testing.assert_array_equal(certificate.converged, [False, True])
    np.testing.assert_array_equal(certificate.iterations, [5, 0])
    assert np.all(np.asarray(hs)[:, 1] == 0)


def test_certificates_of_layers_and_directions():
    cell = cells.stack(make("lstm"), cells.bidirectional(make("gru"), make("mingru")))
    final, hs, certificates = certified_unroll(cell, *random_arrays(cell, "layers"), lengths=[8, 5, 0, 2])
    assert len(certificates) == 3
    assert all(np.all(certificate.converged) for certificate in certificates)
    assert_close(
        (final, hs), unroll(cell, *random_arrays(cell, "layers"), lengths=[8, 5, 0, 2], executor="scan"), 1e-10
    )


@pytest.mark.parametrize("executor", PARALLEL)
def test_not_a_number_stays_so(executor):
    cell = CELLS["mingru"]
    params, state, xs = random_arrays(cell, "mingru", steps=STEPS)
    _, hs = unroll(cell, params, state, xs.at[6, 1].set(jnp.nan), executor=PARALLEL[executor])
    _, wanted = unroll(cell, params, state, xs.at[6, 1].set(jnp.nan), executor="scan")
    np.testing.assert_array_equal(np.isnan(hs), np.isnan(wanted))
    np.testing.assert_allclose(hs, wanted, rtol=1e-10)


@pytest.mark.parametrize(
    ("make_executor", "message"),
    [
        (lambda: Newton(tolerance=-1e-6), "`tolerance` must be above 0, not -1e-06"),
        (lambda: Newton(tolerance=float("nan")), "`tolerance` must be a finite number"),
        (lambda: Newton(max_iterations=0), "`max_iterations` must be a positive whole number, not 0"),
        (lambda: Newton(damping=1.0), "`damping` must be at least 0 and below 1, not 1.0"),
        (lambda: Newton(chunk=2.5), "`chunk` must be a positive whole number, not 2.5"),
        (lambda: Newton(jacobian="full"), "`jacobian` must be one of auto, blocks, diagonal, not 'full'"),
        (lambda: Associative(chunk=0), "`chunk` must be a positive whole number, not 0"),
        (lambda: AssociativeBackward(chunk=-1), "`chunk` must be a positive whole number, not -1"),
    ],
)
def test_bad_options(make_executor, message):
    with pytest.raises(UserError, match=message):
        make_executor()


def test_cells_that_an_executor_does_not_run():
    with pytest.raises(UserError, match="associative executor cannot run this: .*linear in the state, and this gru"):
        unroll(CELLS["gru"], *random_arrays(CELLS["gru"]), executor="associative")
    large = cells.lstm(40)
    with pytest.raises(UserError, match="blocks of up to 64 x 64 .* this lstm cell has 80 x 80"):
        unroll(large, *random_arrays(large), executor="associative-backward")
    with pytest.raises(UserError, match="`executor` must be a Newton, such as Newton"):
        certified_unroll(CELLS["gru"], *random_arrays(CELLS["gru"]), executor="newton")


@pytest.mark.parametrize("name", ["elman-tanh", "gru"])
def test_trained_weights(name):
    """Of a network that was trained to repeat its input of some steps before."""
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        cell, params = trained_networks.trained(name, 0)
    wide = cells.make(name, trained_networks.UNITS, param_dtype="float64")
    params = jax.tree.map(lambda a: jnp.asarray(a, "float64"), params)
    xs = jnp.asarray(np.random.default_rng(4).choice([-1.0, 1.0], (60, 3, trained_networks.INPUTS)))
    arrays, weights = (params, wide.initial_state((3,)), xs), random_weights(wide, "trained", batch=(3,), steps=60)
    for executor in (Newton(chunk=25), AssociativeBackward(chunk=25)):
        actual, wanted = (run_with_gradients(wide, *arrays, weights, executor=each) for each in (executor, "scan"))
        assert_near(actual, wanted, 1e-10)
    narrow = jax.tree.map(lambda a: a.astype("float32"), (arrays, weights))
    assert_near(run_with_gradients(cell, *narrow[0], narrow[1], executor=Newton()), wanted, 1e-5)


def test_a_large_dense_cell_takes_the_diagonal_and_is_right():
    """Beyond 64 numbers: diagonal iterations, and derivatives that go back in time step by step."""
    cell = cells.lstm(40, param_dtype="float64")
    arrays, weights = random_arrays(cell, steps=6, batch=(2,)), random_weights(cell, steps=6, batch=(2,))
    small = jax.tree.map(lambda a: 0.2 * a, arrays)
    actual, wanted = (run_with_gradients(cell, *small, weights, executor=each) for each in (Newton(), "scan"))
    assert_near(actual, wanted, 1e-10)


def test_the_choice_stays_sequential():
    """Parallel executors run where they are requested."""
    for name in ("mingru", "lstm"):
        for platform in ("cpu", "gpu", "tpu"):
            cell = CELLS[name]
            params, _, xs = random_arrays(cell, name)
            assert choose_executor(cell, params, xs, Control(None, None), platform=platform) not in PARALLEL


def test_gradients_over_a_hundred_thousand_steps():
    """Of a linear recurrence, against a backward pass by hand in extended precision."""
    steps = 100_000
    cell = cells.mingru(1, param_dtype="float64")
    rng = np.random.default_rng(0)
    params = cell.init(jax.random.key(0), 1)._replace(w_x=jnp.array([[0.7, 0.9]]), b=jnp.array([-6.0, 0.1]))
    xs, weights = rng.standard_normal((steps, 1, 1)), rng.standard_normal(steps)

    def loss(params, xs):
        _, hs = unroll(cell, params, cell.initial_state((1,)), xs, executor="associative")
        return jnp.sum(weights * hs[:, 0, 0])

    gradients, (dxs,) = jax.jit(lambda p, x: (jax.grad(loss)(p, x), (jax.grad(loss, argnums=1)(p, x),)))(params, xs)
    x, w, b = (np.asarray(a, np.longdouble) for a in (xs[:, 0, 0], params.w_x[0], params.b))
    gate = 1 / (1 + np.exp(-(w[0] * x + b[0])))
    new = w[1] * x + b[1]
    h = np.zeros(steps + 1, np.longdouble)
    for t in range(steps):
        h[t + 1] = (1 - gate[t]) * h[t] + gate[t] * new[t]
    delta = np.zeros(steps + 1, np.longdouble)
    for t in reversed(range(steps)):
        delta[t] = weights[t] + (delta[t + 1] * (1 - gate[t + 1]) if t + 1 < steps else 0)
    d_gate = delta[:steps] * (new - h[:-1]) * gate * (1 - gate)
    d_new = delta[:steps] * gate
    for actual, wanted in (
        (gradients.w_x[0], [(d_gate * x).sum(), (d_new * x).sum()]),
        (gradients.b, [d_gate.sum(), d_new.sum()]),
        (dxs[:, 0, 0], d_gate * w[0] + d_new * w[1]),
    ):
        wanted = np.array(wanted, np.float64)
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())
