"""Float64 programs with x64 off, under every transformation that jax applies after tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.jacobians.arithmetic.float64_program import float64_program
from rnnlm_jax.jacobians.compiled import compiled


@compiled("dtype")
@float64_program("dtype")
def root(x, dtype):
    """Return square roots by Newton's method, in a loop of data-dependent length, with a derivative by hand."""

    @jax.custom_jvp
    def newton(x):
        start = jnp.maximum(x, jnp.ones((), dtype))
        return jax.lax.while_loop(lambda y: y * y > x * (1 + 1e-14), lambda y: 0.5 * (y + x / y), start)

    @newton.defjvp
    def _(primals, tangents):
        y = newton(*primals)
        return y, 0.5 * tangents[0] / y

    rows = jax.lax.map(newton, x.astype(dtype))
    return {"root": rows.sum().astype(x.dtype), "steps": jnp.asarray(rows.size, jnp.int32)}


def value(x):
    return root(x, dtype=np.dtype("float64"))["root"]


X = np.random.default_rng(0).uniform(0.5, 4, size=(3, 4)).astype(np.float32)
JIT = jax.jit(value)
SLOPES, ROOTS = 0.5 / np.sqrt(X), np.sqrt(X).sum(axis=1)
CASES = {
    "vmap(jit)": (lambda: jax.vmap(JIT)(X), ROOTS),
    "jit(vmap)": (lambda: jax.jit(jax.vmap(value))(X), ROOTS),
    "vmap(vmap(jit))": (lambda: jax.vmap(jax.vmap(JIT))(X[None])[0], ROOTS),
    "map": (lambda: jax.lax.map(value, X), ROOTS),
    "jvp(jit)": (lambda: jax.jvp(JIT, (X[0],), (np.ones_like(X[0]),))[1], SLOPES[0].sum()),
    "jit(jvp)": (lambda: jax.jit(lambda x: jax.jvp(value, (x,), (x,)))(X[0])[1], (SLOPES * X)[0].sum()),
    "grad": (lambda: jax.grad(value)(X[0]), SLOPES[0]),
    "grad(jit)": (lambda: jax.grad(JIT)(X[0]), SLOPES[0]),
    "jit(grad)": (lambda: jax.jit(jax.grad(value))(X[0]), SLOPES[0]),
    "vmap(grad(jit))": (lambda: jax.vmap(jax.grad(JIT))(X), SLOPES),
    "grad(vmap(jit))": (lambda: jax.grad(lambda x: jax.vmap(JIT)(x).sum())(X), SLOPES),
    "grad(map)": (lambda: jax.grad(lambda x: jax.lax.map(value, x).sum())(X), SLOPES),
    "jit(vmap(grad(jit)))": (lambda: jax.jit(jax.vmap(jax.grad(JIT)))(X), SLOPES),
    "grad(checkpoint)": (lambda: jax.grad(jax.checkpoint(value))(X[0]), SLOPES[0]),
    "hessian(jit)": (lambda: jnp.diagonal(jax.hessian(JIT)(X[0])), -0.25 * X[0] ** -1.5),
    "export": (lambda: jax.export.export(JIT)(X[0]).call(X[0]), ROOTS[0]),
    "export(grad)": (lambda: jax.export.export(jax.jit(jax.grad(value)))(X[0]).call(X[0]), SLOPES[0]),
    "grad(export)": (lambda: jax.grad(jax.export.export(JIT)(X[0]).call)(X[0]), SLOPES[0]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("x64", [False, True])
def test_transformations_give_values_and_derivatives(name, x64):
    with jax.enable_x64(x64):
        result = CASES[name][0]()
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, CASES[name][1], rtol=1e-6)


def test_sums_are_computed_in_float64():
    x = np.full(1000, 1 + 2.0**-20, np.float32)
    with jax.enable_x64(False):
        assert value(x) == np.float32(np.sqrt(x.astype(np.float64)).sum())
