"""Gradients by row: duplicates are summed as a dense table would sum them, and only the rows named are written."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, read_rows, sum_duplicate_rows, write_rows
from tests.unroll.programs import jit

V, N, D = 30, 12, 3
BATCHES = {
    "random": [7, 3, 7, 29, 0, 3, 3, 11, 0, 28, 5, 7],
    "all equal": [4] * N,
    "all distinct": [*range(20, 20 - N, -1)],
    "ends of the table": [0, V - 1] * (N // 2),
    "sorted": [*range(N // 2), *[N] * (N - N // 2)],
}
summed = jit(sum_duplicate_rows)


@jit
def overwritten(table, gradient):
    return write_rows(table, gradient.ids, read_rows(table, gradient.ids) + gradient.rows)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_sums_are_those_of_a_dense_table_to_the_bit(dtype):
    for name, batch in BATCHES.items():
        ids, rows = np.array(batch, np.int32), np.random.default_rng(0).standard_normal((N, D)).astype(dtype)
        expected = np.zeros((V, D), dtype)
        np.add.at(expected, ids, rows)
        found = summed(ids, rows)
        assert found.rows.dtype == dtype
        used = np.asarray(found.ids) != UNUSED
        assert found.ids[used].tolist() == sorted(set(batch)), name
        np.testing.assert_array_equal(found.rows[used], expected[found.ids[used]], err_msg=name)
        np.testing.assert_array_equal(found.rows[~used], 0, err_msg=name)  # so they add nothing to a norm


def test_only_listed_rows_are_written():
    rng = np.random.default_rng(1)
    table, rows = rng.standard_normal((V, D)), rng.standard_normal((4, D))
    ids = np.array([V - 1, UNUSED, 0, UNUSED], np.int32)
    found = overwritten(table, RowGradient(jnp.asarray(ids), jnp.asarray(rows)))
    expected = table.copy()
    expected[[V - 1, 0]] += rows[[0, 2]]
    np.testing.assert_array_equal(found, expected)


def test_a_single_token():
    found = summed(np.array([5]), np.array([[1.0, 2.0]]))
    assert (found.ids.tolist(), found.rows.tolist()) == ([5], [[1.0, 2.0]])
