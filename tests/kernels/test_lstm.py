"""The LSTM's kernels against the loops that define them, and their vector arithmetic through them against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.kernels import lstm as subject
from rnnlm_jax.kernels.lstm import lstm
from tests.unroll.programs import assert_close, jit

#: T, B, H, with a mask, resets and a state mask or without, reverse, capped: one sequence; odd sizes; several tiles and
#: panels and a rest.
CASES = [
    (3, 1, 1, False, False, False),
    (4, 3, 5, True, True, False),
    (4, 3, 5, True, False, True),
    (3, 31, 37, True, False, False),
    (3, 31, 37, True, True, True),
]


def arrays(steps, batch, units, controlled, dtype="float64"):
    """Arguments of the operations ``infer`` and ``forward``: those of ``lstm``, but ``zs`` is ``[T*B, 4H]``."""
    rng = np.random.default_rng(units)
    shapes = (steps * batch, 4 * units), (units, 4 * units), (4 * units,), (batch, units), (batch, units)
    given = [rng.normal(size=shape) for shape in shapes]
    control = [rng.random((steps, batch)) > 0.3 if controlled else np.zeros((0, 0)) for _ in range(2)]
    state_mask = 2 * (rng.random((batch, units)) > 0.5) if controlled else np.zeros((0, 0))
    return [jnp.asarray(a, dtype) for a in (*given, *control, state_mask)]


quick = functools.partial(jit, static_argnames=("reverse", "capped"))


def operands(steps, batch, units, controlled, dtype, **static):
    """Operands of each of the three operations, by name: residuals and cotangents are those of the plain loop."""
    forward = arrays(steps, batch, units, controlled, dtype)
    hs, c, gates, cs, _ = quick(subject.run_loop)(*forward, **static)
    backward = (gates, cs, forward[4], forward[1], *forward[5:], jnp.cos(hs), jnp.sin(c), jnp.cos(c))
    return {"infer": forward, "forward": forward, "backward": backward}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_equal_their_loops(kernels, case, dtype):
    del kernels
    *shape, reverse, capped = case
    static = {"reverse": reverse, "capped": capped}
    for name, given in operands(*shape, dtype, **static).items():
        operation = getattr(subject.KERNEL, name)
        assert f"rnnlm_jax_{operation.name}_{'f32' if dtype == 'float32' else 'f64'}" in lowered(operation, given)
        wanted = quick(operation.reference)(*given, **static)
        assert_close(operation(*given, **static), wanted, 1e-5 if dtype == "float32" else 1e-13)


def lowered(operation, given):
    return jax.jit(functools.partial(operation, reverse=False, capped=False)).lower(*given).as_text()


@pytest.mark.parametrize(
    ("reverse", "controlled", "capped"), [(False, True, True), (False, True, False), (True, False, False)]
)
def test_derivatives_are_those_of_the_loop(kernels, reverse, controlled, capped):
    """Gradients, a derivative along a direction, second derivatives, and a vmap."""
    del kernels
    zs, *given = arrays(3, 2, 3, controlled)
    given, control = [zs.reshape(3, 2, 12), *given[:4]], given[4:]

    def plain(zs, w_h, b, h0, c0):
        hs, c, *_ = subject.run_loop(zs.reshape(6, 12), w_h, b, h0, c0, *control, reverse=reverse, capped=capped)
        return hs, hs[0 if reverse else -1], c

    def ours(zs, w_h, b, h0, c0):
        return lstm(zs, w_h, b, h0, c0, *control, reverse, capped)

    def loss(function, *given):
        return sum(jnp.sum(jnp.sin(a) * (k + 1)) for k, a in enumerate(function(*given)))

    moved = [jnp.cos(a) for a in given]
    along = jit(lambda f, *a: jax.jvp(lambda *b: f(*b), a, tuple(moved)), static_argnums=0)
    gradients = jit(lambda f, *a: jax.grad(loss, range(1, 6))(f, *a), static_argnums=0)
    second = jit(
        lambda f, *a: jax.jvp(lambda *b: jax.grad(loss, range(1, 6))(f, *b), a, tuple(moved)), static_argnums=0
    )
    several = jit(jax.vmap(lambda f, *a: f(*a), (None, 0, None, None, 0, None)), static_argnums=0)
    stacked = [jnp.stack([given[0], moved[0]]), given[1], given[2], jnp.stack([given[3], moved[3]]), given[4]]
    for program, at in ((along, given), (gradients, given), (second, given), (several, stacked)):
        assert_close(program(ours, *at), program(plain, *at), 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [(3, 31, 37, True, False, False), (2, 8, 5, True, True, True)], ids=str)
def test_inputs_projected_in_the_loop_equal_projected_inputs(kernels, case, dtype):
    """The kernel, its use without derivatives in large batches only, and the derivatives of either."""
    del kernels
    *shape, reverse, capped = case
    steps, batch, units = shape[:3]
    static, inputs = {"reverse": reverse, "capped": capped}, 6
    _, *rest = arrays(*shape, dtype)
    rng = np.random.default_rng(1)
    xs, w_x = (jnp.asarray(rng.normal(size=s), dtype) for s in ((steps * batch, inputs), (inputs, 4 * units)))
    assert "rnnlm_jax_lstm_infer_projecting" in lowered(subject.INFER_PROJECTING, (xs, w_x, *rest))
    wanted = quick(subject.run_projecting_loop)(xs, w_x, *rest, **static)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert_close(subject.INFER_PROJECTING(xs, w_x, *rest, **static), wanted, tolerance)
    xs = xs.reshape(steps, batch, inputs)

    def plain(xs, w_x, *rest):
        return lstm((xs.reshape(-1, inputs) @ w_x).reshape(steps, batch, -1), *rest, reverse, capped)

    def ours(xs, w_x, *rest):
        return subject.lstm_of_inputs(xs, w_x, *rest, reverse, capped)

    def loss(function, *given):
        return sum(jnp.sum(jnp.sin(a) * (k + 1)) for k, a in enumerate(function(*given)))

    assert_close(jit(ours)(xs, w_x, *rest), jit(plain)(xs, w_x, *rest), tolerance)
    gradients = jit(lambda f, *a: jax.grad(loss, range(1, 8))(f, *a), static_argnums=0)
    assert_close(gradients(ours, xs, w_x, *rest), gradients(plain, xs, w_x, *rest), 10 * tolerance)
    names = [str(e.primitive) for e in jax.make_jaxpr(jax.grad(lambda x: loss(ours, x, w_x, *rest)))(xs).eqns]
    assert "rnnlm_lstm_infer_projecting" not in names
    small = jax.make_jaxpr(lambda x, *rest: subject.lstm_of_inputs(x, w_x, *rest, reverse, capped))
    few = [rest[0], rest[1], rest[2][:7], rest[3][:7], rest[4][:, :7], rest[5][:, :7], rest[6][:7]]
    assert "lstm_infer_projecting" not in str(small(xs[:, :7], *few))
    assert "lstm_infer_projecting" in str(small(xs, *rest))


def test_a_gradient_holds_one_product_for_the_weights(kernels):
    """The kernel back in time, and after it the gradient of ``w_h``: no other loop."""
    del kernels
    zs, *given = arrays(3, 2, 3, False)
    program = jax.make_jaxpr(jax.grad(lambda *a: sum(x.sum() for x in lstm(*a, False, False)), (0, 1, 2, 3, 4)))(
        zs.reshape(3, 2, 12), *given
    )
    names = [equation.primitive.name for equation in program.eqns]
    assert names.count("rnnlm_lstm_forward") == names.count("rnnlm_lstm_backward") == 1
    assert names.count("dot_general") == 1 and not {"scan", "while"} & set(names)


@pytest.mark.parametrize(("dtype", "ulps"), [("float32", 4), ("float64", 6)])
def test_vector_sigmoid_and_tanh_equal_those_of_numpy(kernels, dtype, ulps):
    """To a few units in the last place where numbers are normal, and saturating: an LSTM of one step, no recurrence."""
    del kernels
    largest = 87 if dtype == "float32" else 700
    units, odd = 16, [0, 1e30, -1e30, np.inf, -np.inf, 1e-30]
    x = np.concatenate([np.linspace(-largest, largest, 3001), np.logspace(-9, 0, 500), -np.logspace(-9, 0, 500), odd])
    x = np.append(x, [np.nan] * (-len(x) % units or units)).astype(dtype).reshape(-1, units)
    zeros, empty = np.zeros((len(x), units), dtype), np.zeros((0, 0), dtype)
    zs, w_h, b = np.tile(x, 4), np.zeros((units, 4 * units), dtype), np.zeros(4 * units, dtype)
    gates = np.asarray(subject.KERNEL.forward(zs, w_h, b, zeros, zeros, *[empty] * 3, reverse=False, capped=False)[2])
    i, _, g, _ = np.split(gates, 4, axis=-1)
    wide = np.clip(x, -11000, 11000).astype(np.longdouble)
    for found, wanted in ((i, 1 / (1 + np.exp(-wide))), (g, np.tanh(wide))):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
        error, allowed = np.abs(found - wanted), ulps * np.finfo(dtype).eps * np.abs(wanted) + 4 * np.finfo(dtype).tiny
        assert np.all(error[~np.isnan(x)] <= allowed[~np.isnan(x)])
