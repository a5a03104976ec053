"""Vectors from spellings, against the papers' formulas in NumPy; and what each distinct word costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import inputs
from rnnlm_jax.inputs import distinct_words
from rnnlm_jax.inputs.spellings import BEGIN, END
from tests.inputs import reference

WORDS = ["a", "the", "<unk>", "<eos>", "naïve", "supercali", "of", "x" * 12, "日本", "aaaa"]
D = 6
OPTIONS = {"filters": "3+2", "characters": 4, "highways": 1}


def make(words=WORDS, **options):
    return inputs.make("char-cnn", words, dtype="float64", param_dtype="float64", **{**OPTIONS, **options})


@functools.cache
def random_params(layer, size=10):
    """Every entry random, biases included."""
    rng = np.random.default_rng(size)
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), size, D))
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(scale=0.7, size=s.shape), s.dtype), shapes)


@pytest.mark.parametrize(("name", "activation"), [("tanh", np.tanh), ("relu", lambda a: np.maximum(a, 0.0))])
def test_every_word_is_the_papers(name, activation):
    layer = make(activation=name, filters="3+4+2", highways=2)
    params = random_params(layer)
    wanted = [reference.vector(params, word, activation) for word in WORDS]
    np.testing.assert_allclose(jax.jit(layer.table)(params), wanted, rtol=0, atol=1e-13)


def test_a_vector_does_not_depend_on_other_words():
    """Not on how long they are, so not on the padding; nor on how many there are, so not on the runs they make."""
    layer, alone = make(), make(["of"])
    params = random_params(layer)
    one, other = jax.jit(layer.table)(params)[6], jax.jit(alone.table)(params)[0]
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)


def test_words_are_told_apart_from_the_start():
    """Of the squares of the filters' outputs less than half is the mean over words; with biases of zero, nearly all."""
    words = ["company", "market", "year", "share", "president", "yesterday", "increase", "said", "not", "which", "it"]
    filters = "25+50+75+100"
    layer = make(words, filters=filters, characters=16, highways=0)
    size = sum(map(int, filters.split("+")))
    params = layer.init(jax.random.key(0), len(words), size)._replace(w_p=jnp.eye(size))  # outputs as vectors

    def shared(params):
        outputs = np.asarray(layer.table(params))
        return np.square(outputs.mean(axis=0)).sum() / np.square(outputs).mean(axis=0).sum()

    assert shared(params) < 0.5
    assert shared(params._replace(b=jnp.zeros(size))) > 0.9


def test_gradients_are_those_of_the_whole_table(monkeypatch):
    """Each distinct word is composed once, its cotangents summed; runs without a word change nothing."""
    monkeypatch.setattr(distinct_words, "GROUP", 3)
    layer = make()
    params = random_params(layer)
    ids, rng = np.array([[5, 1], [5, 9], [5, 5]]), np.random.default_rng(1)
    weights = rng.normal(size=(*ids.shape, D))

    def of_batch(params):
        return jnp.sum(weights * jnp.sin(layer.embed(params, ids)))

    def of_table(params):
        return jnp.sum(weights * jnp.sin(layer.table(params)[ids]))

    found, wanted = jax.jit(jax.grad(of_batch))(params), jax.jit(jax.grad(of_table))(params)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.any(other)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())
    moved = np.flatnonzero(np.any(np.asarray(found.characters), axis=1))
    assert set(moved.tolist()) <= {BEGIN, END, *b"supercali", *b"the", *b"aaaa"}  # no other letters, and no padding


def test_gradients_are_those_of_finite_differences():
    layer = make(WORDS[:4], filters="2", characters=2)
    params = random_params(layer, 4)
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)

    @jax.jit
    def loss(params):
        return jnp.sum(jnp.cos(layer.embed(params, jnp.array([3, 1, 1]))))

    def moved(step):
        return loss(jax.tree.map(lambda a, d: a + step * d, params, direction))

    gradient = jax.jit(jax.grad(loss))(params)
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: float(jnp.sum(g * d)), gradient, direction)))
    assert slope == pytest.approx(float(moved(1e-6) - moved(-1e-6)) / 2e-6, rel=1e-7)


@pytest.mark.parametrize("shape", [(), (2, 0, 3), (3,), (2, 30)])
def test_any_number_of_ids(shape):
    layer = make()
    params = random_params(layer)
    ids = np.random.default_rng(3).integers(len(WORDS), size=shape)
    found = jax.jit(layer.embed)(params, jnp.asarray(ids))
    assert found.shape == (*shape, D)
    np.testing.assert_allclose(found, np.asarray(jax.jit(layer.table)(params))[ids], rtol=0, atol=1e-14)


def test_as_many_parameters_as_the_papers():
    """Kim's small network; and the big LSTM with character inputs, 1.04 billion parameters in all."""

    def count(layer, size, width):
        shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), size, width))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    small = inputs.make("char-cnn", WORDS, characters=15)
    convolutions = sum(15 * width * 25 * width for width in range(1, 7)) + 525
    assert count(small, len(WORDS), 300) == 256 * 15 + convolutions + 2 * (525 * 525 + 525) + 525 * 300 + 300

    big = inputs.make("char-cnn", WORDS, filters="32+32+64+128+256+512+1024+2048", highways=2, activation="relu")
    layer = 2 * 1024 * 4 * 8192 + 4 * 8192 + 8192 * 1024  # LSTM 8192 projected to 1024
    softmax = 793_471 * (1024 + 1)
    assert 2 * layer + softmax + count(big, len(WORDS), 1024) == pytest.approx(1.04e9, rel=0.005)


def test_half_precision_products_keep_full_parameters():
    layer = inputs.make("char-cnn", WORDS, dtype="bfloat16", param_dtype="float32", **OPTIONS)
    params = random_params(layer)
    found, exact = (jax.jit(each.table)(params) for each in (layer, inputs.make("char-cnn", WORDS, **OPTIONS)))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.1 * np.abs(exact).max()
