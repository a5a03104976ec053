"""N-gram features: beside Python's integers and sums, their gradient by row, and the models that have them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax.arrays.sparse_rows import UNUSED, dense_gradient
from rnnlm_jax.config import ModelConfig
from rnnlm_jax.data import Batch
from rnnlm_jax.errors import UserError
from rnnlm_jax.jobs.run_folder import build_model
from rnnlm_jax.language_model.loss_gradient import loss_and_gradient
from rnnlm_jax.outputs.direct_features import DirectFeatures
from rnnlm_jax.outputs.maxent import MaxEntParams, maxent
from rnnlm_jax.outputs.output_layer import WithContext
from rnnlm_jax.outputs.word_classes import bin_by_frequency
from rnnlm_jax.outputs.word_counts import WordCounts

VOCABULARY, HIDDEN = 23, 3
WORDS = WordCounts([str(v) for v in range(VOCABULARY)], np.random.default_rng(0).integers(0, 50, VOCABULARY))
OPTIONS = {"order": 3, "table_size": 256, "classes": 4, "dtype": jnp.float64, "param_dtype": jnp.float64}


def mixed(key):
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        key = (key ^ key >> shift) * factor % 2**32
    return key ^ key >> 16


def by_hand(params, binned, h, past, order, value=1.0):
    """log P of every word: keys, windows and sums in Python's integers, one weight at a time."""
    table, half = np.asarray(params.table).reshape(-1), params.table.size // 2

    def place(key, width):
        lines = -(-(width + 15) // 16)  # that a window may touch
        return 16 * (mixed(key) % (half // 16 - lines + 1)) + mixed(key ^ 0x27D4EB2F) % 16

    found = np.empty((len(past), VOCABULARY))
    for n, words in enumerate(past.tolist()):
        keys = [0x2545F491]
        for word in words[: order - 1]:
            keys.append((keys[-1] * 0x9E3779B1 + word + 2) % 2**32)
        logits = [0.0 if h is None else h[n] @ params.softmax.class_w[:, c] for c in range(binned.count)]
        for c in range(binned.count):
            logits[c] += 0.0 if h is None else params.softmax.class_b[c]
            logits[c] += value * sum(table[place(key, binned.count) + c] for key in keys)
        of_classes = np.array(logits) - np.logaddexp.reduce(logits)
        for c, (start, size) in enumerate(zip(binned.starts, binned.sizes, strict=True)):
            starts = [half + place((key * 0x85EBCA77 + c + 1) % 2**32, binned.width) for key in keys]
            run = np.array([value * sum(table[s + k] for s in starts) for k in range(size)])
            if h is not None:
                rows = slice(start, start + size)
                run = run + params.softmax.word_w[rows] @ h[n] + params.softmax.word_b[rows]
            found[n, start : start + size] = of_classes[c] + run - np.logaddexp.reduce(run)
    return found[:, binned.rank]


def problem(hidden=HIDDEN, rows=12, **options):
    rng = np.random.default_rng(2)
    layer = maxent(WORDS, **(OPTIONS | options))
    params = layer.init(jax.random.key(0), hidden, VOCABULARY)
    params = jax.tree.map(lambda a: a + rng.normal(size=a.shape), params)
    past = rng.integers(-1, VOCABULARY, (rows, layer.context_size)).astype(np.int32)
    h = rng.normal(size=(rows, hidden))
    return layer, params, WithContext(h, past), rng.integers(0, VOCABULARY, rows)


@pytest.mark.parametrize(("hidden", "order", "value"), [(HIDDEN, 3, 1.0), (0, 3, 0.5), (0, 1, 1.0)])
def test_nats_and_log_probs_are_those_of_the_definition(hidden, order, value):
    layer, params, hs, targets = problem(hidden, order=order, value=value)
    binned = bin_by_frequency(WORDS.counts, 4)
    wanted = by_hand(params, binned, hs.values if hidden else None, hs.words, order, value)
    found, nats = jax.jit(lambda *given: (layer.log_probs(*given[:2]), layer.nats(*given)))(params, hs, targets)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-12)
    picked = -wanted[np.arange(len(targets)), targets]
    np.testing.assert_allclose(nats, picked, rtol=0, atol=1e-11)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_the_gradient_by_row_is_that_of_the_dense_loss(l2):
    """Windows overlap in a table this small; rows of weight 0 count for nothing."""
    layer, params, hs, targets = problem(l2=l2)
    weights = np.cos(np.arange(len(targets))) * (np.arange(len(targets)) % 3 != 1)

    features = DirectFeatures(bin_by_frequency(WORDS.counts, 4), 3, 256)
    of_rows = features.classes.class_of[features.classes.rank[targets]]
    windows = jax.jit(features.windows)(hs.words, of_rows)

    def by_row(params, own):
        read, ids = layer.by_row.gather(params, WithContext(targets, hs.words), None)

        def loss(read, own):
            return layer.by_row.loss(read, ids, WithContext(own, hs.words), targets, weights)

        value, (of_read, of_own) = jax.value_and_grad(loss, (0, 1))(read, own)
        return value, layer.by_row.scatter(of_read, ids), of_own

    def dense(params, own):
        found = layer.log_probs(params, WithContext(own, hs.words))
        total = -(weights * found[jnp.arange(len(targets)), targets]).sum()
        flat = params.table.reshape(-1)
        for n in range(len(targets)):
            for starts, size in ((windows.classes, 4), (windows.words, int(features.classes.sizes[of_rows[n]]))):
                begin = 16 * starts.lines[n, :, None] + starts.offsets[n, :, None]
                read = flat[begin + jnp.arange(size, dtype=begin.dtype)[None]]
                total += l2 / 2 * weights[n] * ((read**2).sum() - jax.lax.stop_gradient((read**2).sum()))
        return total

    value, gradient, of_own = jax.jit(by_row)(params, hs.values)
    wanted, (of_params, of_h) = jax.jit(jax.value_and_grad(dense, (0, 1)))(params, hs.values)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    np.testing.assert_allclose(of_own, of_h, rtol=0, atol=1e-11)
    used = np.asarray(gradient.table.ids)[np.asarray(gradient.table.ids) != UNUSED]
    assert len(np.unique(used)) == len(used) > 0
    for ours, theirs in zip(jax.tree.leaves(dense_gradient(gradient, params)), jax.tree.leaves(of_params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11)


def model_of(cell, **options):
    config = ModelConfig(cell=cell, hidden_size=HIDDEN, output="maxent", init_scale=0.1)
    options = {"order": 3, "table_size": 256, "l2": 0.01} | options
    config = dataclasses.replace(config, output_options=tuple(options.items()), param_dtype="float64", dtype="float64")
    return build_model(config, VOCABULARY, words=WORDS)


@pytest.mark.parametrize("cell", ["none", "elman-sigmoid"])
def test_segments_single_steps_and_a_whole_text_have_the_same_nats(cell):
    """The state has what a window needs of the one before; each distribution is that of ``log_probs``."""
    model = model_of(cell)
    params = model.init(jax.random.key(0))
    assert not params.output.table.any()  # whatever --init-scale
    filled = jax.random.normal(jax.random.key(1), params.output.table.shape, jnp.float64)
    params = params._replace(output=params.output._replace(table=filled))
    text = np.random.default_rng(3).integers(0, VOCABULARY, (8, 2)).astype(np.int32)
    inputs, targets = text[:-1], text[1:]
    score, step = jax.jit(model.token_nll), jax.jit(model.log_probs)
    end, whole = score(params, model.initial_state((2,)), inputs, targets)
    state, parts = model.initial_state((2,)), []
    for start in (0, 1, 4):  # shorter and longer than the past
        state, nats = score(params, state, inputs[start : 3 * start + 1], targets[start : 3 * start + 1])
        parts.append(nats)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12)
    state = model.initial_state((2,))
    for t in range(7):
        state, log_probs = step(params, state, inputs[t])
        np.testing.assert_allclose(-log_probs[np.arange(2), targets[t]], whole[t], rtol=1e-12)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(end), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_the_gradients_by_row_and_dense_are_equal():
    model = model_of("elman-sigmoid", order=2)
    params = model.init(jax.random.key(0))
    text = np.random.default_rng(4).integers(0, VOCABULARY, (6, 2)).astype(np.int32)
    batch = Batch(text[:-1], text[1:], np.ones((5, 2), bool))
    state = model.initial_state((2,))
    differentiate = jax.jit(functools.partial(loss_and_gradient, model), static_argnames="by_row")
    found = [differentiate(params, state, batch, None, normaliser=1, by_row=by_row) for by_row in (True, False)]
    plain = model.loss_fn(params, state, batch, None)[0]
    gradients = [jax.tree.leaves(dense_gradient(gradient, params)) for _, gradient in found]
    np.testing.assert_allclose(found[0][0][0], plain, rtol=1e-12)
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"order": 0}, "`order` must be a whole number from 1 to 9"),
        ({"order": 10}, "`order` must be"),
        ({"order": 2.0}, "`order` must be"),
        ({"table_size": 2**36}, "`table_size` must be a whole number from 32 to 34359738336"),
        ({"table_size": 33.5}, "`table_size` must be"),
        ({"table_size": 64, "classes": 23}, "give a larger `table_size`"),
        ({"value": 0}, "`value` must be a positive number"),
        ({"l2": -1.0}, "`l2` must be at least 0"),
        ({"l2": float("nan")}, "`l2` must be"),
        ({"classes": 24}, "`classes` must be"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(UserError, match=complaint):
        maxent(WORDS, **options)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"output": "softmax", "output_options": ()}, "use `output` maxent"),
        ({"tie_embeddings": True}, "leave `tie_embeddings` out"),
        ({"layers": 2}, "leave `layers`"),
        ({"cell_options": (("forget_bias", 1),)}, "leave `cell_options` out"),
    ],
)
def test_options_that_need_units_are_refused_without(changes, complaint):
    config = ModelConfig(cell="none", output="maxent", output_options=(("order", 2),))
    with pytest.raises(UserError, match=complaint):
        build_model(dataclasses.replace(config, **changes), VOCABULARY, words=WORDS)


def test_parameters_are_the_table_alone_without_units():
    params = model_of("none").init(jax.random.key(0))
    assert params.output == MaxEntParams(None, params.output.table)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 256
