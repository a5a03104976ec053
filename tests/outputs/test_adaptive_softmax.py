"""The adaptive softmax against its definition in NumPy: probabilities, loss and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs import clustered_loss
from rnnlm_jax.outputs.adaptive_softmax import adaptive_softmax
from rnnlm_jax.outputs.clustered_loss import Clusters, Tail
from rnnlm_jax.outputs.word_counts import WordCounts

HIDDEN, VOCABULARY, CUTOFFS = 6, 17, (3, 8)
LAYER = adaptive_softmax(CUTOFFS, 2, None, jnp.float64, jnp.float64)
log_probs, nats = jax.jit(LAYER.log_probs), jax.jit(LAYER.nats)
ours = jax.jit(jax.value_and_grad(LAYER.total_nats, (0, 1)))


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """A few rows at a time, so that clusters have several chunks and do not fill the last."""
    monkeypatch.setattr(clustered_loss, "CHUNK", 3)


def params_of(seed=0):
    """Random matrices of the shapes that ``init`` gives, large enough that probabilities differ."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: LAYER.init(jax.random.key(0), HIDDEN, VOCABULARY))
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)


def probabilities(params, hs):
    """By the definition, word by word."""

    def softmax(a):
        powers = np.exp(a - a.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    head = softmax(hs @ params.head)
    parts = [head[..., : CUTOFFS[0]]]
    for k, tail in enumerate(params.tails):
        parts.append(head[..., CUTOFFS[0] + k, None] * softmax(hs @ tail.project @ tail.w))
    return np.concatenate(parts, -1)


def batch(targets, seed=1):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=len(targets)) * (np.arange(len(targets)) % 4 != 2)
    return rng.normal(size=(len(targets), HIDDEN)), np.asarray(targets, np.int32), weights


def plain(params, hs, targets, weights):
    """The same loss for JAX to differentiate by itself."""
    return -weights @ LAYER.log_probs(params, hs)[jnp.arange(len(targets)), targets]


plain_gradient = jax.jit(jax.grad(plain, (0, 1)))


def test_probabilities_are_the_definition_and_sum_to_one():
    params, hs = params_of(), np.random.default_rng(2).normal(size=(4, 3, HIDDEN))
    p = np.exp(log_probs(params, hs))
    assert p.shape == (4, 3, VOCABULARY)
    np.testing.assert_allclose(p, probabilities(params, hs), rtol=1e-12)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-13)
    targets = np.random.default_rng(3).integers(0, VOCABULARY, (4, 3))
    wanted = -np.log(np.take_along_axis(probabilities(params, hs), targets[..., None], -1)[..., 0])
    np.testing.assert_allclose(nats(params, hs, targets), wanted, rtol=1e-11)


def test_a_bias_is_one_more_unit_that_is_always_one():
    biased = adaptive_softmax(CUTOFFS, 2, None, jnp.float64, jnp.float64, bias=True)
    shapes = jax.eval_shape(lambda: biased.init(jax.random.key(0), HIDDEN, VOCABULARY))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(
        jnp.shape,
        Clusters(np.ones((7, 5)), (Tail(np.ones((7, 3)), np.ones((3, 5))), Tail(np.ones((7, 1)), np.ones((1, 9))))),
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    hs, targets, weights = batch([0, 2, 3, 7, 8, 16, 9, 4])
    extended = np.concatenate([hs, np.ones((len(hs), 1))], -1)
    np.testing.assert_allclose(np.exp(biased.log_probs(params, hs)), probabilities(params, extended), rtol=1e-12)
    np.testing.assert_allclose(biased.nats(params, hs, targets), nats(params, extended, targets), rtol=1e-12)
    found = jax.jit(jax.value_and_grad(biased.total_nats, (0, 1)))(params, hs, targets, weights)
    loss, (of_params, of_hs) = ours(params, extended, targets, weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), found, (loss, (of_params, of_hs[:, :-1])))


@pytest.mark.parametrize("bias", [False, True])
def test_clusters_as_wide_as_the_head_are_not_projected(bias):
    """As if they were, by the identity."""
    wide = adaptive_softmax(CUTOFFS, 1, None, jnp.float64, jnp.float64, bias=bias)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: wide.init(jax.random.key(0), HIDDEN, VOCABULARY))
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    assert [tail.project for tail in params.tails] == [None, None]
    assert [tail.w.shape for tail in params.tails] == [(HIDDEN + bias, 5), (HIDDEN + bias, 9)]
    projected = Clusters(params.head, tuple(Tail(np.eye(HIDDEN + bias), tail.w) for tail in params.tails))
    hs, targets, weights = batch([0, 2, 3, 7, 8, 16, 9, 4])
    read = np.concatenate([hs, np.ones((len(hs), 1))], -1) if bias else hs
    np.testing.assert_allclose(np.exp(wide.log_probs(params, hs)), probabilities(projected, read), rtol=1e-12)
    np.testing.assert_allclose(wide.nats(params, hs, targets), nats(projected, read, targets), rtol=1e-11)
    loss, (of_params, of_hs) = jax.jit(jax.value_and_grad(wide.total_nats, (0, 1)))(params, hs, targets, weights)
    wanted, (of_projected, of_read) = ours(projected, read, targets, weights)
    np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    np.testing.assert_allclose(of_hs, of_read[:, :HIDDEN], rtol=1e-11)
    np.testing.assert_allclose(of_params.head, of_projected.head, rtol=1e-11)
    for tail, other in zip(of_params.tails, of_projected.tails, strict=True):
        np.testing.assert_allclose(tail.w, other.w, rtol=1e-11)


def test_narrow_types_sum_to_one_and_keep_theirs():
    layer = adaptive_softmax(7, dtype=jnp.bfloat16)

    @jax.jit
    def run(key):
        params = layer.init(key, 16, 40)
        hs, targets = 5 * jax.random.normal(key, (9, 16), jnp.float32), jnp.arange(9) * 4
        return params, layer.log_probs(params, hs), layer.total_nats(params, hs, targets, jnp.ones(9))

    params, all_words, value = run(jax.random.key(0))
    slopes = jax.eval_shape(jax.grad(layer.total_nats, (0, 1)), params, np.ones((9, 16), "f"), np.arange(9), np.ones(9))
    assert {leaf.dtype for leaf in jax.tree.leaves((params, slopes))} == {jnp.dtype("float32")}
    assert [tail.project.shape for tail in params.tails] == [(16, 4)]
    np.testing.assert_allclose(np.exp(all_words).sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(value, -all_words[np.arange(9), np.arange(9) * 4].sum(), rtol=2e-3)


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param([0, 16, 5, 3, 11, 12, 2, 6, 7, 16, 12], id="all clusters"),
        pytest.param([1, 8, 9, 2, 8, 8, 11, 12, 0, 1, 10], id="an empty cluster"),
        pytest.param([0, 1, 2, 2, 1, 0, 0, 0, 1, 2, 2], id="the head alone"),
        pytest.param([16] * 11, id="the last cluster alone"),
    ],
)
def test_loss_and_gradients_are_those_of_the_definition(targets):
    """A cluster without rows has a gradient of zeros."""
    params, given = params_of(), batch(targets)
    value, found = ours(params, *given)
    p = probabilities(params, given[0])
    np.testing.assert_allclose(value, -given[2] @ np.log(p[np.arange(11), given[1]]), rtol=1e-11)
    for a, b in zip(*map(jax.tree.leaves, (found, plain_gradient(params, *given))), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    counted = given[1][given[2] != 0]
    for begin, end, tail in zip(CUTOFFS, (*CUTOFFS[1:], VOCABULARY), found[0].tails, strict=True):
        empty = not np.any((counted >= begin) & (counted < end))
        assert empty == (not np.any(tail.w)) == (not np.any(tail.project))


def test_other_derivatives_are_those_of_the_plain_formula():
    """A cotangent that is not 1, and forward mode over reverse: a product with the Hessian."""
    layer, given = adaptive_softmax(3, 2, None, jnp.float64, jnp.float64), batch([0, 6, 5, 3])
    params = Clusters(
        np.sin(np.arange(24.0)).reshape(6, 4), (Tail(np.ones((6, 2)), np.cos(np.arange(8.0).reshape(2, 4))),)
    )

    def plain(params):
        return -given[2] @ layer.log_probs(params, given[0])[np.arange(4), given[1]]

    def derivatives(f):
        return jax.jvp(jax.grad(lambda p: jnp.square(f(p))), (params,), (jax.tree.map(np.cos, params),))

    found, wanted = jax.jit(lambda: (derivatives(lambda p: layer.total_nats(p, *given)), derivatives(plain)))()
    for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_rows_of_weight_0_add_nothing():
    params, (hs, targets, weights) = params_of(), batch([0, 16, 5, 3, 11, 12, 2, 6, 8, 9, 1])
    odd = np.where(weights[:, None] == 0, 1e200, hs), np.where(weights == 0, -1000, targets), weights
    for a, b in zip(*map(jax.tree.leaves, (ours(params, *odd), ours(params, hs, targets, weights))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(ours(params, hs, targets, np.zeros(11))))


def test_targets_outside_the_vocabulary_give_nan():
    params, hs = params_of(), batch(range(12))[0].reshape(4, 3, HIDDEN)
    targets = np.resize([-1, -17, -18, 17, 2**31 - 1, 16, 0], (4, 3))
    is_word = (targets >= -17) & (targets < 17)
    found = nats(params, hs, targets)
    assert np.isnan(found).sum() == 6
    wanted = np.where(is_word, nats(params, hs, np.where(is_word, targets % 17, 0)), np.nan)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_words_not_numbered_by_frequency_are_ranked():
    """Their ranks are looked up: a permutation of words is one of probabilities."""
    counts = np.random.default_rng(5).permutation(VOCABULARY) * 10
    words = WordCounts([f"w{v}" for v in range(VOCABULARY)], counts)
    layer = adaptive_softmax(CUTOFFS, 2, words, jnp.float64, jnp.float64)
    params, given = params_of(), batch(words.by_rank[:11])
    found, loss, outside = jax.jit(
        lambda p, h, t, w: (layer.log_probs(p, h), layer.total_nats(p, h, t, w), layer.nats(p, h, t + VOCABULARY))
    )(params, *given)
    np.testing.assert_allclose(found[:, words.by_rank], log_probs(params, given[0]), rtol=1e-14)
    np.testing.assert_allclose(loss, ours(params, given[0], np.arange(11, dtype=np.int32), given[2])[0], rtol=1e-14)
    assert np.isnan(outside).all()


def test_memory_is_below_that_of_all_logits():
    """Those of 20,000 rows would be 1.6 gigabytes."""
    layer, rows = adaptive_softmax(100), 20_000
    params = jax.eval_shape(lambda: layer.init(jax.random.key(0), 16, 20_000))

    def sums(*given):
        return jax.tree.map(jnp.sum, jax.grad(layer.total_nats, (0, 1))(*given))

    shapes = [(rows, 16), (rows,), (rows,)]
    given = [jax.ShapeDtypeStruct(s, d) for s, d in zip(shapes, ("float32", "int32", "float32"), strict=True)]
    memory = jax.jit(sums).lower(params, *given).compile().memory_analysis().temp_size_in_bytes
    assert memory < rows * 20_000 * 4 / 16


@pytest.mark.parametrize(
    ("cutoffs", "complaint"),
    [
        ((7, 3), "without words"),
        ((3, 3), "without words"),
        ((0, 3), "without words"),
        ((3, 17), "need more than 17 words and the vocabulary has 17"),
        ("3:x", "write whole numbers"),
        (2.5, "write whole numbers"),
        (True, "write whole numbers"),
        ((), "write whole numbers"),
        ("auto", "not chosen yet"),
        ((3, 4, 5, 6), "cluster 3 of the adaptive softmax would have no units"),
    ],
)
def test_impossible_cutoffs_are_refused(cutoffs, complaint):
    with pytest.raises(UserError, match=complaint):
        adaptive_softmax(cutoffs, 2).init(jax.random.key(0), HIDDEN, VOCABULARY)


@pytest.mark.parametrize("div_value", [0.5, 0, -4, float("inf"), float("nan"), True, "four"])
def test_impossible_div_values_are_refused(div_value):
    with pytest.raises(UserError, match="`div_value` must be"):
        adaptive_softmax(3, div_value)


def test_bias_must_be_a_bool():
    with pytest.raises(UserError, match="`bias` must be true or false, not 'maybe'"):
        adaptive_softmax(1, bias="maybe")  # pyright: ignore[reportArgumentType]


def test_counts_of_another_vocabulary_are_refused():
    with pytest.raises(UserError, match="counts of 2 words"):
        adaptive_softmax(1, words=WordCounts("ab", (2, 1))).init(jax.random.key(0), HIDDEN, VOCABULARY)


def test_two_words_are_enough():
    layer = adaptive_softmax(1, 1, None, jnp.float64, jnp.float64)
    params = Clusters(np.ones((2, 2)), (Tail(None, np.ones((2, 1))),))
    hs = np.asarray([[0.3, -2.0]])
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), 2, 2))
    assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, params)
    np.testing.assert_allclose(np.exp(jax.jit(layer.log_probs)(params, hs)), [[0.5, 0.5]], rtol=1e-15)
