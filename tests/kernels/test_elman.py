"""The Elman network's kernels against the loops that define them, and derivatives of a call against the loop's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.kernels import elman as subject
from rnnlm_jax.kernels.elman import ACTIVATIONS, elman
from tests.unroll.programs import assert_close, jit

#: T, B, H, with a mask and resets or without, reverse, activation: one sequence; odd sizes; several tiles and panels.
CASES = [
    (3, 1, 1, False, False, "identity"),
    (4, 3, 5, True, True, "tanh"),
    (3, 31, 37, True, False, "sigmoid"),
    (3, 31, 37, False, True, "relu"),
]


def arrays(steps, batch, units, controlled, dtype="float64"):
    """Arguments of the operations ``infer`` and ``forward``: those of ``elman``, but ``zs`` is ``[T*B, H]``."""
    rng = np.random.default_rng(units)
    shapes = (steps * batch, units), (units, units), (units,), (batch, units)
    given = [rng.normal(size=shape) for shape in shapes]
    control = [rng.random((steps, batch)) > 0.3 if controlled else np.zeros((0, 0)) for _ in range(2)]
    return [jnp.asarray(a, dtype) for a in (*given, *control)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_equal_their_loops(kernels, case, dtype):
    del kernels
    *shape, reverse, activation = case
    static = subject._static(reverse, activation)
    forward = arrays(*shape, dtype)
    hs, _ = jit(functools.partial(subject.run_loop, **static))(*forward)
    backward = (hs, forward[1], *forward[4:], jnp.cos(hs), jnp.sin(forward[3]))
    for name, given in {"infer": forward, "forward": forward, "backward": backward}.items():
        operation = getattr(subject.KERNEL, name)
        program = jax.jit(functools.partial(operation, **static))
        assert f"rnnlm_jax_{operation.name}_{'f32' if dtype == 'float32' else 'f64'}" in program.lower(*given).as_text()
        wanted = jit(functools.partial(operation.reference, **static))(*given)
        assert_close(program(*given), wanted, 1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_derivatives_are_those_of_the_loop(kernels, activation):
    """Gradients, a derivative along a direction, second derivatives, and a vmap; back in time, with mask and resets."""
    del kernels
    zs, *given, step_mask, keep_state = arrays(3, 2, 3, True)
    given = [zs.reshape(3, 2, 3), *given]

    def plain(zs, w_h, b, h0):
        static = subject._static(True, activation)
        hs = subject.run_loop(zs.reshape(6, 3), w_h, b, h0, step_mask, keep_state, **static)[0].reshape(3, 2, 3)
        return hs, hs[0]

    def ours(zs, w_h, b, h0):
        return elman(zs, w_h, b, h0, step_mask, keep_state, True, activation)

    def loss(function, *given):
        return sum(jnp.sum(jnp.sin(a) * (k + 1)) for k, a in enumerate(function(*given)))

    moved = [jnp.cos(a) for a in given]
    along = jit(lambda f, *a: jax.jvp(lambda *b: f(*b), a, tuple(moved)), static_argnums=0)
    gradients = jit(lambda f, *a: jax.grad(loss, range(1, 5))(f, *a), static_argnums=0)
    second = jit(
        lambda f, *a: jax.jvp(lambda *b: jax.grad(loss, range(1, 5))(f, *b), a, tuple(moved)), static_argnums=0
    )
    several = jit(jax.vmap(lambda f, *a: f(*a), (None, 0, None, None, 0)), static_argnums=0)
    stacked = [jnp.stack([given[0], moved[0]]), *given[1:3], jnp.stack([given[3], moved[3]])]
    for program, at in ((along, given), (gradients, given), (second, given), (several, stacked)):
        assert_close(program(ours, *at), program(plain, *at), 1e-11)


@pytest.mark.parametrize("moving", [(0,), (2,), (1, 3)], ids=str)
def test_gradients_of_some_arguments_are_among_those_of_all(kernels, moving):
    """Whatever stays fixed has a symbolic zero for a tangent."""
    del kernels
    zs, *given = arrays(3, 2, 3, False)
    at = (zs.reshape(3, 2, 3), *given)
    gradients = [
        jit(jax.grad(lambda *a: jnp.sum(jnp.cos(elman(*a, False, "tanh")[0])), k))(*at) for k in (moving, range(4))
    ]
    assert_close(list(gradients[0]), [gradients[1][k] for k in moving], 1e-13)


def test_a_gradient_holds_one_product_for_the_weights(kernels):
    """The kernel back in time, and after it the gradient of ``w_h``: no other loop."""
    del kernels
    zs, *given = arrays(3, 2, 3, False)
    program = jax.make_jaxpr(jax.grad(lambda *a: sum(x.sum() for x in elman(*a, False, "tanh")), (0, 1, 2, 3)))(
        zs.reshape(3, 2, 3), *given
    )
    names = [equation.primitive.name for equation in program.eqns]
    assert names.count("rnnlm_elman_forward") == names.count("rnnlm_elman_backward") == 1
    assert names.count("dot_general") == 1 and not {"scan", "while"} & set(names)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays_in_its_sequence(kernels, activation):
    """And a reset ends it: what comes after is that of a state of zeros."""
    del kernels
    zs, w_h, b, h0, *_ = arrays(4, 3, 5, False)
    zs = zs.reshape(4, 3, 5)
    keep_state = jnp.ones((4, 3)).at[2, 1].set(0)
    hs, _ = elman(zs.at[0, 1, 0].set(jnp.nan), w_h, b, h0, jnp.ones((4, 3)), keep_state, False, activation)
    clean, _ = elman(zs, w_h, b, h0, jnp.ones((4, 3)), keep_state, False, activation)
    assert jnp.isnan(hs[0, 1, 0]) and jnp.isnan(hs[1, 1]).all() and not jnp.isnan(clean).any()
    assert_close((hs[:, ::2], hs[2:]), (clean[:, ::2], clean[2:]), 1e-14)
