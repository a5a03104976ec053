"""The class-factorised softmax beside P(c) P(w | c) written out in NumPy, with every derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs.class_softmax import class_softmax
from rnnlm_jax.outputs.word_classes import bin_by_frequency
from rnnlm_jax.outputs.word_counts import WordCounts

HIDDEN, ROWS = 3, 90


def words(vocabulary, unsorted=True):
    counts = np.random.default_rng(vocabulary).integers(0, 100, vocabulary)
    return WordCounts([str(v) for v in range(vocabulary)], counts if unsorted else np.sort(counts)[::-1])


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def by_hand(binned, params, h):
    """P of every word id, from the definition, one row and one class at a time."""
    found = np.empty((len(h), binned.vocab_size))
    for n, row in enumerate(h):
        of_classes = softmax(row @ params.class_w + params.class_b)
        for c, (start, size) in enumerate(zip(binned.starts, binned.sizes, strict=True)):
            run = slice(start, start + size)
            found[n, run] = of_classes[c] * softmax(params.word_w[run] @ row + params.word_b[run])
    return found[:, binned.rank]


def problem(vocabulary, classes, rows=ROWS, unsorted=True):
    rng = np.random.default_rng(1)
    given = words(vocabulary, unsorted)
    layer = class_softmax(given, classes, jnp.float64, jnp.float64)
    params = layer.init(jax.random.key(0), HIDDEN, vocabulary)
    params = jax.tree.map(lambda a: np.asarray(a + 0.5 * rng.normal(size=a.shape)), params)
    h, targets = rng.normal(size=(rows, HIDDEN)), rng.integers(0, vocabulary, rows)
    return layer, bin_by_frequency(given.counts, classes), params, h, targets


@pytest.mark.parametrize(("vocabulary", "classes"), [(1, None), (2, None), (37, None), (20, 20), (60, 1)])
def test_nats_and_log_probs_are_those_of_the_definition(vocabulary, classes):
    layer, binned, params, h, targets = problem(vocabulary, classes, rows=20)
    wanted = by_hand(binned, params, h)
    h, targets = h.reshape(4, 5, -1), targets.reshape(4, 5)
    found, nats = jax.jit(lambda *given: (layer.log_probs(*given[:2]), layer.nats(*given)))(params, h, targets)
    np.testing.assert_allclose(np.exp(found).reshape(20, -1), wanted, rtol=1e-11)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, rtol=1e-12)
    picked = -np.log(wanted[np.arange(20), targets.reshape(-1)])
    np.testing.assert_allclose(nats.reshape(-1), picked, rtol=0, atol=1e-11)


def test_derivatives_are_those_of_the_log_probabilities():
    """Gradients, and a Hessian's product; several tiles of a class; rows of weight 0 may hold any words."""
    layer, _, params, h, targets = problem(60, 5)
    weights = np.cos(np.arange(ROWS)) * (np.arange(ROWS) % 3 != 1)
    moved = jax.tree.map(np.cos, (params, h))

    def plain(params, h):
        return -(weights * layer.log_probs(params, h)[jnp.arange(ROWS), targets]).sum()

    def derivatives(f):
        gradient = jax.grad(f, (0, 1))
        return f(params, h), *jax.jvp(gradient, (params, h), moved)

    ours = jax.jit(lambda: derivatives(lambda params, h: layer.total_nats(params, h, targets, weights)))()
    wanted = jax.jit(lambda: derivatives(plain))()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


def test_only_classes_of_the_targets_have_a_gradient():
    layer, binned, params, h, _ = problem(60, 6)
    target = int(np.flatnonzero(binned.class_of[binned.rank] == 3)[0])
    gradient = jax.jit(jax.grad(layer.total_nats))(params, h, np.full(ROWS, target), np.ones(ROWS))
    touched = np.flatnonzero(np.abs(gradient.word_w).sum(axis=1))
    assert (binned.class_of[touched] == 3).all() and len(touched) == binned.sizes[3]


def test_targets_outside_the_vocabulary_give_nan():
    layer, _, params, h, _ = problem(10, 3, rows=3)
    nats = jax.jit(layer.nats)
    found = nats(params, h, np.array([-1, 10, -11]))
    assert np.isfinite(found[0]) and np.isnan(found[1:]).all()
    np.testing.assert_allclose(found[0], nats(params, h, np.array([9, 9, 9]))[0])
    total = jax.jit(layer.total_nats)(params, h, np.array([-1, 10, 2]), np.array([1.0, 0, 0]))
    assert total == pytest.approx(found[0])


def test_narrow_products_and_equal_words():
    layer, _, params, h, targets = problem(30, 4, rows=5)
    narrow = class_softmax(words(30), 4, jnp.bfloat16, jnp.float32)
    assert narrow is class_softmax(words(30), 4, jnp.bfloat16, jnp.float32)
    small = jax.tree.map(np.float32, params)
    found = jax.jit(narrow.nats)(small, np.float32(h), targets)
    assert found.dtype == jnp.float32
    assert 0 < np.abs(np.asarray(found, np.float64) - jax.jit(layer.nats)(params, h, targets)).max() < 0.1


def test_counts_of_another_vocabulary_are_refused():
    with pytest.raises(UserError, match="counts of 30 words, and the vocabulary has 31"):
        class_softmax(words(30)).init(jax.random.key(0), 2, 31)
