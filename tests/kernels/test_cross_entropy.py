"""The output layer's kernel against NumPy in float64, where its panels, tiles, groups and spans begin and end."""

import jax
import numpy as np
import pytest

from rnnlm_jax.outputs.affine_cross_entropy import affine_gradients, affine_nats
from tests.outputs.reference import problem, solution

#: Rows, hidden, vocabulary, rows of a chunk: one of each; whole panels and tiles; one more; several groups and spans.
SIZES = [(1, 1, 1, 1), (28, 32, 64, 28), (29, 33, 65, 13), (60, 14, 2100, 25), (3, 70, 1025, 2)]


@pytest.mark.parametrize("by_word", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_computes_what_is_meant(kernels, dtype, by_word):
    del kernels
    for rows, hidden, vocabulary, chunk in SIZES:
        given = problem(rows, hidden, vocabulary, by_word, dtype)
        found = affine_gradients(*given, by_word=by_word, rows=chunk)
        for ours, wanted in zip(found, solution(given, by_word), strict=True):
            assert ours.dtype == dtype
            tolerance = (2e-6 if dtype == "float32" else 5e-15) * max(1, np.abs(wanted).max())
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=tolerance)
        np.testing.assert_array_equal(affine_nats(*given, by_word=by_word, rows=chunk), found.nats)


def test_the_same_bits_every_time(kernels):
    """However the threads share the work."""
    del kernels
    given = problem(90, 40, 3000, dtype="float32")
    run = jax.jit(affine_gradients)
    first = run(*given)
    for _ in range(10):
        for a, b in zip(first, run(*given), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_compiled_program_calls_the_kernel(kernels):
    """For one type throughout that the kernel has; otherwise it is XLA's own."""
    del kernels
    given = problem(dtype="float32")

    def program(given):
        return jax.jit(affine_gradients).lower(*given).as_text()

    assert "rnnlm_jax_cross_entropy_gradients_f32" in program(given)
    narrow = given._replace(h=given.h.astype("bfloat16"), w=given.w.astype("bfloat16"))
    assert "rnnlm_jax_cross_entropy" not in program(narrow)
    assert "rnnlm_jax_cross_entropy" not in program(given._replace(b=given.b.astype("float64")))
