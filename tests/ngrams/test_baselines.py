"""The counting baselines: probabilities that sum to one, a case by hand, and a naive implementation in dictionaries."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax.ngrams import BigramBaseline, UnigramBaseline

TEXTS = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(lambda tokens: np.array(tokens, np.int32))
VOCABULARY = 8  # two types are never seen


@settings(max_examples=80, deadline=None)
@given(tokens=TEXTS)
def test_probabilities_sum_to_one_in_every_context(tokens):
    bigram = BigramBaseline(tokens, VOCABULARY)
    np.testing.assert_allclose(bigram.unigram.probabilities.sum(), 1.0, rtol=1e-13)
    first, second = (side.ravel() for side in np.meshgrid(*[np.arange(VOCABULARY)] * 2, indexing="ij"))
    table = bigram.probabilities(first, second).reshape(VOCABULARY, VOCABULARY)
    np.testing.assert_allclose(table.sum(1), 1.0, rtol=1e-12)
    assert table.min() >= 0
    for unseen in (6, 7):
        np.testing.assert_allclose(table[unseen], bigram.unigram.probabilities, rtol=1e-13)


def test_probabilities_by_hand():
    a, b, c = 0, 1, 2
    tokens = np.array([a, b, a, b, a, c])
    bigram = BigramBaseline(tokens, 4)
    # Counts a 3, b 2, c 1 of 6, each plus one, over 6 + 4.
    np.testing.assert_allclose(bigram.unigram.probabilities, [0.4, 0.3, 0.2, 0.1], rtol=1e-15)
    # ab twice, ba twice, ac once: D = 1 / (1 + 2·2).
    assert bigram.discount == pytest.approx(0.2, rel=1e-15)
    p = bigram.probabilities(np.array([a, a, a, b, c]), np.array([b, c, a, a, b]))
    expected = [
        (2 - 0.2) / 3 + 0.2 * 2 / 3 * 0.3,
        (1 - 0.2) / 3 + 0.2 * 2 / 3 * 0.2,
        0.2 * 2 / 3 * 0.4,
        (2 - 0.2) / 2 + 0.2 * 1 / 2 * 0.4,
        0.3,  # nothing ever followed c
    ]
    np.testing.assert_allclose(p, expected, rtol=1e-14)
    np.testing.assert_allclose(bigram.nats(np.array([b, a]), a), -np.log([expected[0], expected[3]]), rtol=1e-14)


def naive_nats(train, test, first):
    """One dictionary, one token at a time."""
    pairs = collections.Counter(zip(train[:-1], train[1:], strict=True))
    singles = collections.Counter(train)
    once, twice = (sum(count == k for count in pairs.values()) for k in (1, 2))
    discount = once / (once + 2 * twice) if once else 0.5
    nats, before = [], first
    for token in test:
        unigram = (singles[token] + 1) / (len(train) + VOCABULARY)
        followers = {pair: count for pair, count in pairs.items() if pair[0] == before}
        total = sum(followers.values())
        p = unigram
        if total:
            p = max(pairs[before, token] - discount, 0) / total + discount * len(followers) / total * unigram
        nats.append(-np.log(p))
        before = token
    return nats


@settings(max_examples=80, deadline=None)
@given(train=TEXTS, test=TEXTS, first=st.integers(0, VOCABULARY - 1))
def test_nats_equal_those_of_dictionaries(train, test, first):
    bigram = BigramBaseline(train, VOCABULARY)
    expected = naive_nats(train.tolist(), test.tolist(), first)
    found = bigram.nats(test, first)
    # An unseen token after a context whose every follower was seen more than D times still has its share.
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    unigram = UnigramBaseline(train, VOCABULARY)
    counts = collections.Counter(train.tolist())
    plain = [-np.log((counts[token] + 1) / (train.size + VOCABULARY)) for token in test.tolist()]
    np.testing.assert_allclose(unigram.nats(test), plain, rtol=1e-13)
