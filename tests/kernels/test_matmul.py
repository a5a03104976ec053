"""The product's kernel against NumPy in float64, and its derivatives."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.kernels import matmul as subject
from rnnlm_jax.kernels.matmul import matmul

SHAPES = [(1, 1, 1), (5, 7, 3), (37, 65, 29), (20, 300, 70), (90, 33, 600), (3, 4, 0), (300, 40, 257)]
TRANSPOSED = list(itertools.product((False, True), repeat=2))


def operands(shape, transpose_a, transpose_b, dtype="float64"):
    """Random operands, each perhaps stored transposed, and their product by NumPy in float64."""
    rows, columns, depth = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(rows, depth)).astype(dtype), rng.normal(size=(depth, columns)).astype(dtype)
    true = a.astype(np.float64) @ b.astype(np.float64)
    return (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b), true


@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_multiplies(kernels, dtype, transpose_a, transpose_b):
    """Sizes below, at and beyond the tiles, of either type; the rule that leaves small products to XLA is passed by."""
    del kernels
    for shape in SHAPES:
        a, b, true = operands(shape, transpose_a, transpose_b, dtype)
        (found,) = subject._matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
        assert found.dtype == dtype and found.shape == true.shape
        tolerance = (1e-6 if dtype == "float32" else 1e-14) * np.sqrt(shape[2] + 1) * 4
        np.testing.assert_allclose(found, true, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSED)
def test_derivatives_are_those_of_the_product(kernels, monkeypatch, transpose_a, transpose_b):
    """Gradients, second derivatives, a jvp and a vmap, through the kernel whatever the size."""
    del kernels
    monkeypatch.setattr(subject, "FEWEST_ROWS", 0)
    monkeypatch.setattr(subject, "SMALLEST", 0)
    a, b, _ = operands((4, 3, 5), transpose_a, transpose_b)

    def ours(a, b):
        return jnp.sin(matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)).sum()

    def plain(a, b):
        return jnp.sin((a.T if transpose_a else a) @ (b.T if transpose_b else b)).sum()

    def derivatives(f, a, b):
        return (
            jax.grad(f, (0, 1))(a, b),
            jax.hessian(f, (0, 1))(a, b),
            jax.jvp(f, (a, b), (jnp.cos(a), jnp.cos(b))),
            jax.vmap(f, (0, None))(jnp.stack([a, -a]), b),
        )

    found, wanted = (jax.jit(functools.partial(derivatives, f))(a, b) for f in (ours, plain))
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-13)


def test_large_products_go_to_the_kernel(kernels):
    """What the compiled program calls: the kernel for many rows in floating point, XLA's product otherwise."""
    del kernels
    large, small = jnp.ones((256, 128), jnp.float32), jnp.ones((8, 128), jnp.float32)
    weights = jnp.ones((128, 64), jnp.float32)

    def program(x, w):
        return jax.jit(matmul).lower(x, w).as_text()

    assert "rnnlm_jax_matmul_f32" in program(large, weights)
    assert "rnnlm_jax_matmul" not in program(small, weights)
    assert "rnnlm_jax_matmul" not in program(large.astype(jnp.bfloat16), weights.astype(jnp.bfloat16))
