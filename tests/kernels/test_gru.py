"""The GRU's kernels against the loops that define them, and the derivatives of a call against those of the loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.kernels import gru as subject
from rnnlm_jax.kernels.gru import gru
from tests.unroll.programs import assert_close, jit

#: T, B, H, with a mask and resets or without, reverse: one sequence; odd sizes; several tiles and panels and a rest.
CASES = [(3, 1, 1, False, False), (4, 3, 5, True, True), (3, 31, 37, True, False)]


def arrays(steps, batch, units, controlled, dtype="float64"):
    """Arguments of the operations ``infer`` and ``forward``: those of ``gru``, but ``zs`` is ``[T*B, 3H]``."""
    rng = np.random.default_rng(units)
    shapes = (steps * batch, 3 * units), (units, 3 * units), (3 * units,), (units,), (batch, units)
    given = [rng.normal(size=shape) for shape in shapes]
    control = [rng.random((steps, batch)) > 0.3 if controlled else np.zeros((0, 0)) for _ in range(2)]
    return [jnp.asarray(a, dtype) for a in (*given, *control)]


quick = functools.partial(jit, static_argnames="reverse")


def operands(steps, batch, units, controlled, reverse, dtype):
    """Operands of each of the three operations, by name: residuals and cotangents are those of the plain loop."""
    forward = arrays(steps, batch, units, controlled, dtype)
    hs, gates, products, before = quick(subject.run_loop)(*forward, reverse=reverse)
    backward = (gates, products, before, forward[1], *forward[5:], jnp.cos(hs), jnp.sin(hs[0]))
    return {"infer": forward, "forward": forward, "backward": backward}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_equal_their_loops(kernels, case, dtype):
    del kernels
    *shape, reverse = case
    for name, given in operands(*shape, reverse, dtype).items():
        operation = getattr(subject.KERNEL, name)
        program = jax.jit(functools.partial(operation, reverse=reverse))
        assert f"rnnlm_jax_{operation.name}_{'f32' if dtype == 'float32' else 'f64'}" in program.lower(*given).as_text()
        wanted = quick(operation.reference)(*given, reverse=reverse)
        assert_close(program(*given), wanted, 1e-5 if dtype == "float32" else 1e-13)


def test_derivatives_are_those_of_the_loop(kernels):
    """Gradients, a derivative along a direction, second derivatives, and a vmap; back in time, with mask and resets."""
    del kernels
    zs, *given, step_mask, keep_state = arrays(3, 2, 3, True)
    given = [zs.reshape(3, 2, 9), *given]

    def plain(zs, w_h, b, b_n, h0):
        hs = subject.run_loop(zs.reshape(6, 9), w_h, b, b_n, h0, step_mask, keep_state, reverse=True)[0]
        return hs, hs[0]

    def ours(zs, w_h, b, b_n, h0):
        return gru(zs, w_h, b, b_n, h0, step_mask, keep_state, True)

    def loss(function, *given):
        return sum(jnp.sum(jnp.sin(a) * (k + 1)) for k, a in enumerate(function(*given)))

    moved = [jnp.cos(a) for a in given]
    along = jit(lambda f, *a: jax.jvp(lambda *b: f(*b), a, tuple(moved)), static_argnums=0)
    gradients = jit(lambda f, *a: jax.grad(loss, range(1, 6))(f, *a), static_argnums=0)
    second = jit(
        lambda f, *a: jax.jvp(lambda *b: jax.grad(loss, range(1, 6))(f, *b), a, tuple(moved)), static_argnums=0
    )
    several = jit(jax.vmap(lambda f, *a: f(*a), (None, 0, None, None, None, 0)), static_argnums=0)
    stacked = [jnp.stack([given[0], moved[0]]), *given[1:4], jnp.stack([given[4], moved[4]])]
    for program, at in ((along, given), (gradients, given), (second, given), (several, stacked)):
        assert_close(program(ours, *at), program(plain, *at), 1e-11)


@pytest.mark.parametrize("moving", [(0,), (3,), (1, 4)], ids=str)
def test_gradients_of_some_arguments_are_among_those_of_all(kernels, moving):
    """Whatever stays fixed has a symbolic zero for a tangent."""
    del kernels
    zs, *given = arrays(3, 2, 3, False)
    at = (zs.reshape(3, 2, 9), *given)
    gradients = [jit(jax.grad(lambda *a: jnp.sum(jnp.cos(gru(*a, False)[0])), k))(*at) for k in (moving, range(5))]
    assert_close(list(gradients[0]), [gradients[1][k] for k in moving], 1e-13)


def test_a_gradient_holds_one_product_for_the_weights(kernels):
    """The kernel back in time, and after it the gradient of ``w_h``: no other loop."""
    del kernels
    zs, *given = arrays(3, 2, 3, False)
    program = jax.make_jaxpr(jax.grad(lambda *a: sum(x.sum() for x in gru(*a, False)), (0, 1, 2, 3, 4)))(
        zs.reshape(3, 2, 9), *given
    )
    names = [equation.primitive.name for equation in program.eqns]
    assert names.count("rnnlm_gru_forward") == names.count("rnnlm_gru_backward") == 1
    assert names.count("dot_general") == 1 and not {"scan", "while"} & set(names)


def test_what_is_not_a_number_stays_in_its_sequence(kernels):
    """And a reset ends it: what comes after is that of a state of zeros."""
    del kernels
    zs, w_h, b, b_n, h0, *_ = arrays(4, 3, 5, False)
    zs = zs.reshape(4, 3, 15)
    keep_state = jnp.ones((4, 3)).at[2, 1].set(0)
    hs, _ = gru(zs.at[0, 1, 0].set(jnp.nan), w_h, b, b_n, h0, jnp.ones((4, 3)), keep_state, False)
    clean, _ = gru(zs, w_h, b, b_n, h0, jnp.ones((4, 3)), keep_state, False)
    assert jnp.isnan(hs[:2, 1]).any() and not jnp.isnan(clean).any()
    assert_close((hs[:, ::2], hs[2:]), (clean[:, ::2], clean[2:]), 1e-14)
