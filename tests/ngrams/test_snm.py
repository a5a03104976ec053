"""Sparse non-negative matrices: against dictionaries, by brute force over the vocabulary, and bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax import ngrams
from rnnlm_jax.data import Vocabulary
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.ngrams import snm
from rnnlm_jax.ngrams.snm.adjustment import initial_weights, loss_and_gradient
from rnnlm_jax.ngrams.snm.feature_counts import count_features
from rnnlm_jax.ngrams.snm.held_out import held_out_block
from rnnlm_jax.ngrams.snm.meta_features import COUNTS_ONLY, LEXICAL, MetaFeatures, count_bucket
from rnnlm_jax.ngrams.snm.snm_training import adjusted_values, block_bounds
from tests.ngrams.snm_by_hand import Counted, half_octave, histories, probabilities
from tests.ngrams.texts import encoded, vocabulary, zipf_text

TYPES = (
    *snm.ngram_types(3),
    snm.FeatureType(0, 1, 1, 1),
    snm.FeatureType(0, 1, 2, 4),  # tied: a word may be met several times
    snm.FeatureType(1, 2, 1, 2),
)
TEXTS = st.lists(st.integers(0, 4), min_size=1, max_size=40)  # word 5 is never seen
META = MetaFeatures(COUNTS_ONLY, 10)


def random_weights(meta, seed=0, scale=0.5):
    return np.random.default_rng(seed).normal(scale=scale, size=initial_weights(meta).size)


def model_with(weights, text, words, meta=META):
    counts = count_features(text.tokens, words, TYPES)
    return snm.SnmModel(counts.table, adjusted_values(counts, meta, weights), math.exp(weights[-1]), "random weights")


@settings(max_examples=25)
@given(train=TEXTS, test=TEXTS, eos=st.booleans(), seed=st.integers(0, 9))
def test_nats_equal_the_definition(train, test, eos, seed):
    words, eos_id = vocabulary(6, eos), 1 if eos else None
    weights = random_weights(META, seed)
    model = model_with(weights, encoded(train), words)
    counted = Counted(list(zip(histories(train, 6, eos_id), train, strict=True)), TYPES)
    rows = counted.matrix(META, weights)
    expected = [
        -math.log(probabilities(history, rows, TYPES, math.exp(weights[-1]), 6)[word])
        for history, word in zip(histories(test, 6, eos_id), test, strict=True)
    ]
    np.testing.assert_allclose(model.token_nll(encoded(test)), expected, rtol=1e-6)  # M is float32
    assert model.parameter_count == len(counted.pairs)


@settings(max_examples=15)
@given(train=TEXTS, eos=st.booleans(), seed=st.integers(0, 9))
def test_log_probs_step_by_step_equal_token_nats_and_sum_to_one(train, eos, seed):
    words = vocabulary(6, eos)
    model = model_with(random_weights(META, seed), encoded(train), words)
    tokens = np.random.default_rng(seed).integers(0, 6, (12, 2, 3)).astype(np.int32)  # [T, *B]
    state, token = model.initial_state((2, 3)), np.full((2, 3), words.start_id, np.int32)
    stepped = []
    for following in tokens:
        state, log_probs = model.log_probs(state, token)
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-12)
        stepped.append(-np.take_along_axis(log_probs, following[..., None], -1)[..., 0])
        token = following
    for i in range(2):
        for j in range(3):
            whole = model.token_nll(encoded(tokens[:, i, j]))
            np.testing.assert_allclose(np.stack(stepped)[:, i, j], whole, rtol=1e-9)


@settings(max_examples=15)
@given(train=TEXTS, eos=st.booleans(), cut=st.tuples(st.floats(0, 1), st.floats(0, 1)), merged=st.booleans())
def test_a_block_is_scored_by_the_counts_of_the_rest(train, eos, cut, merged):
    words, eos_id = vocabulary(6, eos), 1 if eos else None
    begin, end = sorted(round(c * len(train)) for c in cut)
    end = max(end, min(begin + 1, len(train)))
    begin = min(begin, end - 1)
    weights = random_weights(META)
    events = list(zip(histories(train, 6, eos_id), train, strict=True))
    rows = Counted(events[:begin] + events[end:], TYPES).matrix(META, weights)
    expected = -sum(
        math.log(probabilities(history, rows, TYPES, math.exp(weights[-1]), 6)[word])
        for history, word in events[begin:end]
    )
    counts = count_features(np.array(train), words, TYPES)
    block = held_out_block(counts, np.array(train), begin, end=end, subtract=True, lexical=not merged)
    loss, _ = loss_and_gradient(weights, block, META.weight_indices(block.signatures), vocab_size=6)
    assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("conjunctions", [COUNTS_ONLY, LEXICAL])
def test_the_gradient_equals_finite_differences(conjunctions):
    meta, words = MetaFeatures(conjunctions, 6), vocabulary(12)  # 64 weights, so that each has collisions
    text = zipf_text(words, 60)
    counts = count_features(text.tokens, words, TYPES)
    block = held_out_block(counts, text.tokens, 40, end=160, subtract=True, lexical=meta.lexical)
    indices = meta.weight_indices(block.signatures)
    weights = random_weights(meta)
    _, gradient = loss_and_gradient(weights, block, indices, vocab_size=words.size)
    step = 1e-5

    def loss(index, move):
        moved = weights.copy()
        moved[index] += move
        return loss_and_gradient(moved, block, indices, vocab_size=words.size)[0]

    numeric = [(loss(i, step) - loss(i, -step)) / (2 * step) for i in range(weights.size)]
    assert np.count_nonzero(gradient) > 40
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7)


def test_without_adjustment_relative_frequencies_are_added():
    words = vocabulary(4, eos=False)  # <unk> a b c
    model = snm.train(encoded([1, 2, 1, 2, 1, 3], -1), words, snm.ngram_types(2), adjustment=snm.Adjustment(epochs=0))
    # after a: 2 2 3; of all: 1 2 1 2 1 3; the uniform feature: a quarter each
    expected = [(0 + 0 + 1 / 4) / 3, (0 + 3 / 6 + 1 / 4) / 3, (2 / 3 + 2 / 6 + 1 / 4) / 3, (1 / 3 + 1 / 6 + 1 / 4) / 3]
    state, _ = model.log_probs(model.initial_state(), np.array(0))
    _, log_probs = model.log_probs(state, np.array(1))
    np.testing.assert_allclose(np.exp(log_probs), expected, rtol=1e-6)


@pytest.mark.parametrize("lexical", [False, True])
def test_the_adjustment_improves_the_test_loss(lexical, monkeypatch):
    # fewer weights than usual: quicker, and as good for a dozen words
    monkeypatch.setattr(snm.Adjustment, "meta_features", MetaFeatures(LEXICAL if lexical else COUNTS_ONLY, 12))
    words = vocabulary(12)
    train, test = zipf_text(words, 400), zipf_text(words, 100, seed=1)
    counts = []
    adjustment = snm.Adjustment(lexical=lexical, epochs=5)
    learnt = snm.train(train, words, TYPES, adjustment=adjustment, progress=counts.append)
    assert sum(counts) == snm.progress_total(train, TYPES, adjustment=adjustment)
    given = snm.train(train, words, TYPES, adjustment=adjustment, held_out=zipf_text(words, 100, seed=2))
    plain = snm.train(train, words, TYPES, adjustment=snm.Adjustment(epochs=0))
    nats = [model.token_nll(test).mean() for model in (learnt, given, plain)]
    assert max(nats[:2]) < nats[2] - 0.1


def test_skip_grams_predict_what_n_grams_cannot():
    words, rng = vocabulary(22), np.random.default_rng(0)
    train, test = [], []
    for text, lines in ((train, 300), (test, 50)):
        for _ in range(lines):  # the last word is that of two words ago, and the one between is any word
            word = int(rng.integers(2, 22))
            text += [word, int(rng.integers(2, 22)), word, 1]
    plain, skipping = (
        snm.train(encoded(train), words, types).token_nll(encoded(test))[2::4].mean()
        for types in (snm.ngram_types(3), snm.ngram_types(3) + snm.skip_types(3))
    )
    assert skipping < plain / 2


def test_blocks_cover_the_text():
    for tokens in (1, 2, 9, 10, 11, 1000):
        borders = block_bounds(tokens, snm.Adjustment(block_size=30, max_blocks=10**6))
        assert [begin for begin, _ in borders[1:]] == [end for _, end in borders[:-1]]
        assert (borders[0][0], borders[-1][1]) == (0, tokens)
        assert all(begin < end for begin, end in borders)
        assert len(borders) >= min(tokens, 10)
    few = block_bounds(1000, snm.Adjustment(block_size=30, max_blocks=5))
    assert len(few) == 5
    assert few[0][0] == 0
    assert few[-1][1] == 1000


def test_buckets_are_half_octaves():
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 4095, 4096, 10**6, 2**40]
    assert count_bucket(np.array(numbers)).tolist() == [half_octave(n) for n in numbers]


def test_a_saved_model_is_loaded_unchanged(tmp_path):
    words = vocabulary(12)
    model = snm.train(zipf_text(words, 50), words, TYPES, adjustment=snm.Adjustment(epochs=1))
    model.save(tmp_path / "some.model")
    again = ngrams.load(tmp_path / "some.model")
    assert isinstance(again, snm.SnmModel)
    assert again.describe() == model.describe()
    assert (again.order, again.parameter_count, again.policy) == (3, model.parameter_count, words.describe())
    text = zipf_text(words, 10, seed=3)
    np.testing.assert_array_equal(again.token_nll(text), model.token_nll(text))


def test_chunks_do_not_change_the_model_or_its_nats(monkeypatch):
    words = vocabulary(12)
    text = zipf_text(words, 40)
    model = snm.train(text, words, TYPES, adjustment=snm.Adjustment(epochs=1))
    whole, counts = model.token_nll(text), []
    monkeypatch.setattr("rnnlm_jax.ngrams.snm.snm_model.CHUNK", 7)
    monkeypatch.setattr("rnnlm_jax.ngrams.snm.snm_training.CHUNK", 5)
    np.testing.assert_allclose(model.token_nll(text, counts.append), whole, rtol=1e-12)
    assert sum(counts) == len(text)
    in_pieces = snm.train(text, words, TYPES, adjustment=snm.Adjustment(epochs=1))
    np.testing.assert_array_equal(in_pieces.values, model.values)


@pytest.mark.parametrize(
    ("tokens", "lexical"), [([0], False), ([0], True), ([1], False), ([1, 1], False), ([0, 0, 1], True)]
)
def test_tiny_texts_give_finite_nats(tokens, lexical):
    for words in (vocabulary(2), vocabulary(2, eos=False)):
        model = snm.train(encoded(tokens), words, TYPES, adjustment=snm.Adjustment(epochs=1, lexical=lexical))
        nats = model.token_nll(encoded([0, 1, 1, 0]))
        assert np.all(np.isfinite(nats))
        assert np.all(nats >= 0)
    assert model.token_nll(encoded([])).shape == (0,)


def test_a_vocabulary_of_one_word_has_zero_nats():
    words = Vocabulary("char", ("x",), None, None)
    model = snm.train(encoded([0, 0, 0], -1), words, TYPES)
    np.testing.assert_allclose(model.token_nll(encoded([0, 0], -1)), 0.0, atol=1e-7)


def test_wrong_arguments_and_texts_are_refused():
    words = vocabulary(6)
    text = encoded([2, 3, 1])
    with pytest.raises(DataError, match="no tokens"):
        snm.train(encoded([]), words)
    with pytest.raises(DataError, match="no tokens"):
        snm.train(text, words, held_out=encoded([]))
    with pytest.raises(ArgumentError, match="at least one of `types`"):
        snm.train(text, words, ())
    with pytest.raises(ArgumentError, match="twice"):
        snm.train(text, words, (snm.FeatureType(1), snm.FeatureType(1)))
    with pytest.raises(ArgumentError, match="at most 64"):
        snm.train(text, words, tuple(snm.FeatureType(k) for k in range(65)))
    with pytest.raises(ArgumentError, match="order"):
        snm.ngram_types(0)
    with pytest.raises(DataError, match="beyond"):
        snm.train(text, words).token_nll(encoded([6]))
    for name, value in {"epochs": -1, "learning_rate": 0.0, "block_size": 0, "max_blocks": 0}.items():
        with pytest.raises(ArgumentError, match=f"`{name}` of the adjustment"):
            snm.Adjustment(**{name: value})
    with pytest.raises(ArgumentError, match="`learning_rate`"):
        snm.Adjustment(learning_rate=math.nan)
    for wrong in ((-1,), (1, -1), (1, 1, 0, 2), (1, 1, 3, 2), (1, 0, 1, 1)):
        with pytest.raises(ArgumentError):
            snm.FeatureType(*wrong)
