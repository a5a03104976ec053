"""Kneser-Ney: probabilities against the definition in dictionaries, sums of one, fallbacks, wrong input."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax import ngrams
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.ngrams.discounts import estimate_discounts
from tests.ngrams.by_hand import KneserNey, sentences_of
from tests.ngrams.texts import encoded, penn_treebank, vocabulary, zipf_text

TEXTS = st.lists(st.integers(0, 4), min_size=1, max_size=40)  # type 5 is never seen
KINDS = st.sampled_from(["modified", "single"])


@settings(max_examples=60)
@given(train=TEXTS, test=TEXTS, order=st.integers(1, 5), kind=KINDS, eos=st.booleans())
def test_nats_equal_the_definition(train, test, order, kind, eos):
    words, eos_id = vocabulary(6, eos), 1 if eos else None
    model = ngrams.train(encoded(train), words, order, discounts=kind)
    plain = KneserNey(sentences_of(train, eos_id), 6, order, kind)
    expected = plain.nats(sentences_of(test, eos_id))
    np.testing.assert_allclose(model.token_nll(encoded(test)), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["modified", "single"])
def test_estimated_discounts_of_a_larger_text(kind):
    words = vocabulary(12)
    train, test = zipf_text(words, 300), zipf_text(words, 40, seed=1, repeated=0.3)
    model = ngrams.train(train, words, 3, discounts=kind)
    plain = KneserNey(sentences_of(train.tokens.tolist(), 1), 12, 3, kind)
    assert [0.5, 1.0, 1.5] not in plain.discounts[1:]
    expected = plain.nats(sentences_of(test.tokens.tolist(), 1))
    np.testing.assert_allclose(model.token_nll(test), expected, rtol=1e-12)
    assert model.parameter_count == sum(len(ngram) > 1 for ngram in plain.adjusted) + 12


@settings(max_examples=25)
@given(train=TEXTS, order=st.integers(1, 4), kind=KINDS, eos=st.booleans(), seed=st.integers(0, 9))
def test_log_probs_step_by_step_equal_token_nats_and_sum_to_one(train, order, kind, eos, seed):
    words = vocabulary(6, eos)
    model = ngrams.train(encoded(train), words, order, discounts=kind)
    tokens = np.random.default_rng(seed).integers(0, 6, (12, 2, 3)).astype(np.int32)  # [T, *B]
    state, token = model.initial_state((2, 3)), np.full((2, 3), words.start_id, np.int32)
    stepped = []
    for following in tokens:
        state, log_probs = model.log_probs(state, token)
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-12)
        stepped.append(-np.take_along_axis(log_probs, following[..., None], -1)[..., 0])
        token = following
    for place in itertools.product(range(2), range(3)):
        whole = model.token_nll(encoded(tokens[(slice(None), *place)]))
        np.testing.assert_allclose(np.stack(stepped)[(slice(None), *place)], whole, rtol=1e-12)


def test_scoring_in_chunks_gives_the_same_nats(monkeypatch):
    words = vocabulary(12)
    text = zipf_text(words, 60)
    model = ngrams.train(text, words, 4)
    whole, counts = model.token_nll(text), []
    monkeypatch.setattr("rnnlm_jax.ngrams.backoff_model.CHUNK", 7)
    np.testing.assert_array_equal(model.token_nll(text, counts.append), whole)
    assert sum(counts) == len(text)
    assert max(counts) == 7


def test_nats_do_not_depend_on_later_tokens():
    words = vocabulary(12)
    text = zipf_text(words, 20)
    model = ngrams.train(text, words, 4)
    half = len(text) // 2
    np.testing.assert_array_equal(model.token_nll(encoded(text.tokens[:half])), model.token_nll(text)[:half])


def test_discounts_by_hand():
    # n1..n4 = 4, 3, 2, 1: Y = 4/10
    counts = np.array([1] * 4 + [2] * 3 + [3] * 2 + [4] + [9] * 5)
    found = estimate_discounts("modified", counts)
    assert found[:3] == pytest.approx((1 - 0.8 * 3 / 4, 2 - 1.2 * 2 / 3, 3 - 1.6 * 1 / 2), rel=1e-15)
    assert not found.fallback
    assert estimate_discounts("single", counts)[:3] == pytest.approx((0.4, 0.4, 0.4), rel=1e-15)
    np.testing.assert_array_equal(found.for_counts(np.array([0, 1, 2, 3, 8])), [0.0, *found[:3], found[2]])


@pytest.mark.parametrize(
    "counts",
    [[], [0, 0], [1, 1, 1], [2, 2, 3], [1, 2], [1, 2, 3, 3, 3, 3, 3]],  # the last: D_2 = 2 - 3 · ⅓ · 5/1 < 0
)
def test_fallback_discounts_of_small_texts(counts):
    counts = np.array(counts, int)
    assert estimate_discounts("modified", counts) == (0.5, 1.0, 1.5, True)
    if not (counts == 1).any() or not (counts == 2).any():
        assert estimate_discounts("single", counts) == (0.5, 0.5, 0.5, True)
    model = ngrams.train(encoded([2, 3, 1]), vocabulary(), 2)
    assert model.describe().count("fallback") == 2


def test_an_order_beyond_every_sentence_adds_nothing():
    text, words = encoded([2, 3, 1, 2, 1]), vocabulary()
    test = encoded([2, 3, 4, 1, 1])
    short, long = (ngrams.train(text, words, order) for order in (4, 9))
    assert long.order == 9
    assert np.isfinite(long.token_nll(test)).all()
    assert short.parameter_count == long.parameter_count


def test_vocabularies_of_one_and_two_types():
    only = ngrams.train(encoded([1, 1, 1], 1), vocabulary(2), 3)
    assert only.token_nll(encoded([1, 0, 1])).shape == (3,)
    one = vocabulary(1, eos=False)
    model = ngrams.train(encoded([0, 0, 0], -1), one, 2)
    np.testing.assert_allclose(model.token_nll(encoded([0, 0], -1)), 0.0, atol=1e-15)
    assert (model.token_nll(encoded([0, 0], -1)) >= 0).all()


def test_wrong_orders_texts_and_ids_are_refused():
    words, text = vocabulary(), encoded([2, 1])
    for order in (0, -1, 10**9):
        with pytest.raises(ArgumentError, match="order"):
            ngrams.train(text, words, order)
    with pytest.raises(DataError, match="no tokens"):
        ngrams.train(encoded([]), words, 2)
    with pytest.raises(ArgumentError, match="choose one of"):
        ngrams.train(text, words, 2, discounts="katz")
    model = ngrams.train(text, words, 2)
    assert model.token_nll(encoded([])).shape == (0,)
    for wrong in (6, -1):
        with pytest.raises(DataError, match="ids beyond"):
            model.token_nll(encoded([2, wrong]))


@pytest.mark.parametrize(("kind", "published"), [("modified", 141.19), ("single", 143.51)])
def test_penn_treebank_has_the_published_perplexity(kind, published):
    words, train, test = penn_treebank()
    nats = ngrams.train(train, words, 5, discounts=kind).token_nll(test)
    assert math.exp(nats.mean()) == pytest.approx(published, abs=0.05)
