"""The hierarchical softmax against products of decisions, word by word, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.arrays.sparse_rows import UNUSED, RowGradient, dense_gradient
from rnnlm_jax.errors import UserError
from rnnlm_jax.outputs import tree_paths
from rnnlm_jax.outputs.hierarchical_softmax import HierarchicalParams, hierarchical_softmax
from rnnlm_jax.outputs.word_counts import WordCounts
from rnnlm_jax.outputs.word_tree import huffman_tree
from tests.outputs.test_word_tree import path

HIDDEN, VOCABULARY = 5, 13
COUNTS = np.random.default_rng(0).integers(1, 60, VOCABULARY)
WORDS = WordCounts([f"w{v}" for v in range(VOCABULARY)], COUNTS)
LAYER = hierarchical_softmax(WORDS, "huffman", jnp.float64, jnp.float64)
RNG = np.random.default_rng(1)
PARAMS = HierarchicalParams(RNG.normal(size=(VOCABULARY - 1, HIDDEN)), RNG.normal(size=VOCABULARY - 1))
log_probs, nats = jax.jit(LAYER.log_probs), jax.jit(LAYER.nats)
ours = jax.jit(jax.value_and_grad(LAYER.total_nats, (0, 1)))


def probabilities(params, hs):
    """``Π σ(±(w · h + b))``, the sign + towards the first child."""
    tree, found = huffman_tree(COUNTS), []
    a = hs @ params.w.T + params.b
    for v in range(VOCABULARY):
        signed = [(1 - 2 * side) * a[..., node] for node, side in zip(*path(tree, v), strict=True)]
        found.append(np.prod([1 / (1 + np.exp(-x)) for x in signed], axis=0))
    return np.stack(found, -1)


def plain(params, hs, targets, weights):
    """The same loss for JAX to differentiate by itself."""
    return -weights @ LAYER.log_probs(params, hs)[jnp.arange(len(targets)), targets]


plain_gradient = jax.jit(jax.grad(plain, (0, 1)))


def batch(rows=9):
    rng = np.random.default_rng(rows)
    weights = rng.normal(size=rows) * (np.arange(rows) % 4 != 2)
    return rng.normal(size=(rows, HIDDEN)), rng.integers(0, VOCABULARY, rows).astype(np.int32), weights


def test_probabilities_are_the_definition_and_sum_to_one():
    hs = RNG.normal(size=(3, 3, HIDDEN))
    p = np.exp(log_probs(PARAMS, hs))
    np.testing.assert_allclose(p, probabilities(PARAMS, hs), rtol=1e-12)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-13)
    targets = RNG.integers(0, VOCABULARY, (3, 3))
    wanted = -np.log(np.take_along_axis(probabilities(PARAMS, hs), targets[..., None], -1)[..., 0])
    np.testing.assert_allclose(nats(PARAMS, hs, targets), wanted, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_narrow_types_sum_to_one(dtype):
    layer = hierarchical_softmax(WORDS, dtype=jnp.dtype(dtype))

    @jax.jit
    def run(key):
        params = layer.init(key, HIDDEN, VOCABULARY)
        hs = 30 * jax.random.normal(key, (9, HIDDEN), jnp.float32)
        slopes = jax.grad(layer.total_nats, (0, 1))(params, hs, jnp.arange(9), jnp.ones(9))
        return layer.log_probs(params, hs), slopes

    found, slopes = run(jax.random.key(0))
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)
    assert {leaf.dtype for leaf in jax.tree.leaves(slopes)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("rows", [2, 100])
def test_loss_and_gradients_are_those_of_the_definition(rows, monkeypatch):
    """By chunks of rows that do not divide them, and at once."""
    monkeypatch.setattr(tree_paths, "CHUNK_BYTES", rows * huffman_tree(COUNTS).depth * HIDDEN * 8)
    given = batch()

    @jax.jit
    def run(params, hs, targets, weights):
        found = jax.value_and_grad(lambda p, h: LAYER.total_nats(p, h, targets, weights), (0, 1))(params, hs)
        return found, jax.grad(lambda p, h: weights @ LAYER.nats(p, h, targets), (0, 1))(params, hs)

    (value, found), of_nats = run(PARAMS, *given)
    p = probabilities(PARAMS, given[0])[np.arange(9), given[1]]
    np.testing.assert_allclose(value, -given[2] @ np.log(p), rtol=1e-12)
    for a, b, c in zip(*map(jax.tree.leaves, (found, plain_gradient(PARAMS, *given), of_nats)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
        np.testing.assert_allclose(c, b, rtol=0, atol=1e-12)


def test_only_nodes_above_the_targets_have_a_gradient():
    """By row it is the dense gradient, each node named once, and no other."""
    hs, targets, weights = batch()
    by_row = LAYER.by_row

    @jax.jit
    def gradient(params, hs):
        gathered, ids = by_row.gather(params, targets, None)
        value, (of_gathered, dh) = jax.value_and_grad(by_row.loss, (0, 2))(gathered, ids, hs, targets, weights)
        return value, by_row.scatter(of_gathered, ids), dh

    value, found, dh = gradient(PARAMS, hs)
    assert all(isinstance(leaf, RowGradient) for leaf in found)
    dense_value, (wanted, wanted_dh) = ours(PARAMS, hs, targets, weights)
    np.testing.assert_allclose(value, dense_value, rtol=1e-14)
    np.testing.assert_allclose(dh, wanted_dh, rtol=0, atol=1e-14)
    for a, b in zip(dense_gradient(found, PARAMS), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)
    above = {node for v in targets for node in path(huffman_tree(COUNTS), v)[0]}
    assert sorted(int(n) for n in found.w.ids if n != UNUSED) == sorted(above)
    assert not np.any(np.asarray(found.w.rows)[np.asarray(found.w.ids) == UNUSED])


def test_a_step_does_not_grow_with_the_vocabulary():
    """The program that picks rows and differentiates has no array of as many rows as there are nodes."""
    words = WordCounts([str(v) for v in range(5000)], 10**6 // np.arange(1, 5001))
    layer = hierarchical_softmax(words)
    params = jax.eval_shape(lambda: layer.init(jax.random.key(0), 16, 5000))

    def step(params, hs, targets):
        gathered, ids = layer.by_row.gather(params, targets, None)
        return layer.by_row.scatter(jax.grad(layer.by_row.loss)(gathered, ids, hs, targets, jnp.ones(4)), ids)

    given = jax.ShapeDtypeStruct((4, 16), "float32"), jax.ShapeDtypeStruct((4,), "int32")
    program = jax.jit(step).lower(params, *given).compile()
    assert program.memory_analysis().temp_size_in_bytes < 4999 * 16 * 4 / 4
    shapes = jax.eval_shape(step, params, *given)
    assert shapes.w.rows.shape == (sum(min(4, int(n)) for n in np.diff(huffman_tree(words.counts).levels)), 16)


def test_other_derivatives_are_those_of_the_plain_formula():
    """A cotangent that is not 1, and forward mode over reverse: a product with the Hessian."""
    given, moved = batch(), jax.tree.map(np.cos, PARAMS)

    def derivatives(f):
        return jax.jvp(jax.grad(lambda p: jnp.square(f(p, *given))), (PARAMS,), (moved,))

    run = jax.jit(derivatives, static_argnums=0)
    for a, b in zip(*map(jax.tree.leaves, (run(LAYER.total_nats), run(plain))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_rows_of_weight_0_add_nothing_and_ids_outside_the_vocabulary_give_nan():
    hs, targets, weights = batch()
    odd = np.where(weights[:, None] == 0, 1e200, hs), np.where(weights == 0, -1000, targets), weights
    for a, b in zip(*map(jax.tree.leaves, (ours(PARAMS, *odd), ours(PARAMS, hs, targets, weights))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
    found = np.asarray(nats(PARAMS, hs.reshape(3, 3, HIDDEN), np.resize([-1, -13, -14, 13, 2**31 - 1], (3, 3)))).ravel()
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, True, True, False, False, True, True])
    wanted = nats(PARAMS, hs.reshape(3, 3, HIDDEN), np.resize([12, 0, 0, 0, 0], (3, 3))).ravel()
    np.testing.assert_allclose(found[[0, 1, 5, 6]], wanted[np.array([0, 1, 5, 6])], rtol=1e-14)


def test_large_decisions_do_not_overflow():
    layer = hierarchical_softmax(WordCounts("ab", (3, 1)))
    params = HierarchicalParams(jnp.full((1, 1), 1e30, jnp.float32), jnp.zeros(1, jnp.float32))
    hs, targets = jnp.ones((2, 1), jnp.float32), jnp.arange(2)
    found = np.asarray(jax.jit(layer.log_probs)(params, hs))
    assert sorted(found[0]) == [np.float32(-1e30), 0]
    slopes = jax.jit(jax.grad(layer.total_nats))(params, hs, targets, jnp.ones(2))
    np.testing.assert_array_equal(np.abs(slopes.w), 1)  # one target is certain, the other impossible


@pytest.mark.parametrize(("size", "tree"), [(1, "huffman"), (2, "balanced"), (3, "huffman")])
def test_vocabularies_of_one_to_three_words(size, tree):
    layer = hierarchical_softmax(WordCounts("abc"[:size], (0, 5, 5)[:size]), tree, jnp.float64, jnp.float64)
    params = layer.init(jax.random.key(0), HIDDEN, size)
    assert params.w.shape == (size - 1, HIDDEN)
    hs, targets = RNG.normal(size=(4, HIDDEN)), np.arange(4) % size

    @jax.jit
    def run(params, hs):
        found = jax.value_and_grad(layer.total_nats, (0, 1))(params, hs, targets, np.ones(4))
        return layer.log_probs(params, hs), found, layer.nats(params, hs, targets)

    log_probs, (value, (of_params, dh)), each = run(params, hs)
    p = np.exp(log_probs)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-15)
    np.testing.assert_allclose(value, each.sum(), rtol=1e-14)
    np.testing.assert_allclose(value, -np.log(p[np.arange(4), targets]).sum(), rtol=1e-14)
    assert of_params.w.shape == params.w.shape and np.isfinite(dh).all()


def test_a_balanced_tree_keeps_neighbours_by_frequency_together():
    layer = hierarchical_softmax(WORDS, "balanced", jnp.float64, jnp.float64)
    hs = RNG.normal(size=(2, HIDDEN))
    run = jax.jit(jax.vmap(lambda change: layer.log_probs(PARAMS._replace(b=PARAMS.b + change), hs)))
    moved = np.exp(run(np.eye(13, 12)))  # the last is not moved
    # The path of the two most frequent words differs in its last decision only: moving that moves no other word.
    pair = WORDS.by_rank[:2]
    changed = np.abs(moved - moved[-1]).max(1) > 1e-9
    assert any(set(np.flatnonzero(moved)) == set(pair) for moved in changed)


def test_impossible_trees_and_counts_are_refused():
    with pytest.raises(UserError, match="`tree` must be one of huffman, balanced, not 'oak'"):
        hierarchical_softmax(WORDS, "oak")
    with pytest.raises(UserError, match="counts of 13 words and the vocabulary has 12"):
        LAYER.init(jax.random.key(0), HIDDEN, 12)
    assert hierarchical_softmax(WORDS, "huffman", jnp.float64, jnp.float64) is LAYER
