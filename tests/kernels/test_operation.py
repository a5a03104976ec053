"""Operations compute their reference functions, with a kernel and without."""

import jax
import jax.numpy as jnp
import numpy as np

from rnnlm_jax.kernels.operation import LinearOperation, Operation

double = Operation("no_such_kernel", lambda x, *, times: (x * times, x.sum()))


def _scaled(scale, x):
    return (scale * x,)


scaled = LinearOperation("no_such_kernel", _scaled, lambda residuals, g: (residuals[0] * g[0] * 1.0,), residuals=1)


def test_dtypes_without_a_kernel_run_the_reference():
    """bfloat16 never reaches a kernel; results, batches and derivatives are those of the reference."""
    x = jnp.arange(3, dtype=jnp.bfloat16)
    product, total = jax.jit(lambda x: double(x, times=2))(x)
    assert product.tolist() == [0.0, 2.0, 4.0] and float(total) == 3.0
    assert jax.vmap(lambda x: double(x, times=3)[0])(x[:, None]).tolist() == [[0.0], [3.0], [6.0]]
    assert jax.grad(lambda x: double(x, times=3)[0].sum())(x).tolist() == [3.0, 3.0, 3.0]


def test_a_linear_operation_uses_its_transpose_and_still_has_all_derivatives():
    """In float16, without a kernel: derivatives in both arguments, first and second."""
    scale, x = jnp.asarray(3.0, jnp.float16), jnp.asarray([1.0, 2.0], jnp.float16)

    def square(scale, x):
        return jnp.square(scaled(scale, x)[0]).sum()

    by_scale, by_x = jax.grad(square, (0, 1))(scale, x)
    np.testing.assert_allclose(by_scale, 2 * 3.0 * 5.0)
    np.testing.assert_allclose(by_x, [18.0, 36.0])
    np.testing.assert_allclose(jax.hessian(square, 1)(scale, x), [[18.0, 0.0], [0.0, 18.0]])
    assert "no_such_kernel" in str(jax.make_jaxpr(jax.grad(square, 1))(scale, x))
