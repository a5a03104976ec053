"""The kernels of the class-factorised softmax and of n-gram features beside what they mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.arrays.sparse_rows import RowGradient, dense_gradient
from rnnlm_jax.kernels import unavailable
from rnnlm_jax.outputs import class_products, direct_features
from rnnlm_jax.outputs.class_products import tiles_of
from rnnlm_jax.outputs.direct_features import DirectFeatures
from rnnlm_jax.outputs.word_classes import bin_by_frequency

pytestmark = pytest.mark.skipif(unavailable("F64") is not None, reason="no native kernels")
RNG = np.random.default_rng(0)
CLASSES = bin_by_frequency(RNG.zipf(1.3, 150) % 500, 5)


@pytest.mark.parametrize("hidden", [1, 21])
def test_products_of_classes(hidden):
    """Rows without a class, and more rows of one class than a tile has; depths that are no multiple of a vector."""
    rows, width = 83, np.int64(CLASSES.width)
    h, w, slopes = (RNG.normal(size=size) for size in ((rows, hidden), (150, hidden), (rows, CLASSES.width)))
    plan = jax.jit(lambda of_rows: tiles_of(CLASSES, of_rows))(jnp.asarray(RNG.integers(0, 6, rows), jnp.int32))
    for operation, a, b, static in (
        (class_products._logits, h, w, {}),
        (class_products._rows, slopes, w, {}),
        (class_products._matrix, slopes, h, {"words": np.int64(150)}),
    ):
        both = jax.jit(
            lambda a, b, f=operation, s=static: (
                f(a, b, *plan, width=width, **s),
                f.reference(a, b, *plan, width=width, **s),
            )
        )
        (found,), (wanted,) = both(a, b)
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_sums_and_gradients_of_features():
    features = DirectFeatures(CLASSES, order=4, size=512)
    rows = 40
    past, of_rows = (
        jnp.asarray(RNG.integers(-1, 4, (rows, 3)), jnp.int32),
        jnp.asarray(RNG.integers(0, 5, rows), jnp.int32),
    )
    table = RNG.normal(size=features.shape)
    slopes = RNG.normal(size=(rows, CLASSES.count)), RNG.normal(size=(rows, CLASSES.width))
    shrink = RNG.normal(size=rows) * (np.arange(rows) % 2)
    windows, sizes = features.windows(past, of_rows), jnp.asarray(CLASSES.sizes)[of_rows]

    def both(operation, *arrays, **static):
        return jax.jit(lambda *a: (operation(*a, **static), operation.reference(*a, **static)))(*arrays)

    (found,), (wanted,) = both(direct_features._sums, table, *windows.words, sizes, width=np.int64(CLASSES.width))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)
    found, wanted = both(direct_features._gradient, table, *slopes, shrink, *windows.classes, *windows.words, sizes)
    dense = [dense_gradient(RowGradient(*each), jnp.asarray(table)) for each in (found, wanted)]
    assert np.abs(dense[1]).max() > 0 and found[0].shape == wanted[0].shape
    np.testing.assert_allclose(dense[0], dense[1], rtol=0, atol=1e-12)
    used = np.asarray(found[0])[: len(np.unique(np.asarray(found[0]))) - 1]
    assert len(np.unique(used)) == len(used) and (used < features.shape[0]).all()  # in front, and each once
