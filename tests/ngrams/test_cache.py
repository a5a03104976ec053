"""The unigram cache against its definition, token by token."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.ngrams import UnigramCache
from tests.ngrams.texts import encoded, vocabulary

WORDS = vocabulary(6)


def by_definition(tokens, window, decay):
    """Each weight from each place; and that the distribution sums to one."""
    nats = []
    for t, token in enumerate(tokens):
        reach = range(1, min(t, window or t) + 1)
        weights = np.full(6, 1.0 / 6.0)
        for i in reach:
            weights[tokens[t - i]] += decay**i
        probabilities = weights / (sum(decay**i for i in reach) + 1.0)
        assert probabilities.sum() == pytest.approx(1.0, rel=1e-12)
        nats.append(-np.log(probabilities[token]))
    return nats


@settings(max_examples=80)
@given(
    tokens=st.lists(st.integers(0, 5), max_size=50),
    window=st.none() | st.integers(1, 12),
    decay=st.sampled_from([1.0, 0.99, 0.6, 1e-3]),
)
def test_nats_equal_the_definition(tokens, window, decay):
    found = UnigramCache(WORDS, window, decay).token_nll(encoded(tokens))
    np.testing.assert_allclose(found, by_definition(tokens, window, decay), rtol=1e-11, atol=1e-13)


def test_long_texts_neither_overflow_nor_lose_digits():
    tokens = np.random.default_rng(0).integers(0, 6, 20_000)
    tokens[:3] = 5
    tokens[3:15_000][tokens[3:15_000] == 5] = 2  # not seen for a long time
    found = UnigramCache(WORDS, 700, 0.9).token_nll(encoded(tokens))
    held = 0.9 * (1 - 0.9**700) / (1 - 0.9)
    again = int(np.flatnonzero(tokens[3:] == 5)[0]) + 3
    assert found[again] == pytest.approx(-np.log(1 / 6 / (held + 1)), rel=1e-13)
    plain = [sum(0.9**i for i in range(1, 701) if tokens[t - i] == tokens[t]) for t in (1000, 19_999)]
    expected = [-np.log((seen + 1 / 6) / (held + 1)) for seen in plain]
    np.testing.assert_allclose(found[[1000, 19_999]], expected, rtol=1e-12)


def test_description_and_progress():
    cache, counts = UnigramCache(WORDS, 500, 0.99), []
    assert "last 500 words" in cache.describe()
    assert cache.policy == WORDS.describe()
    assert cache.parameter_count == 0
    cache.token_nll(encoded([2, 1, 2]), counts.append)
    assert counts == [3]


@pytest.mark.parametrize("wrong", [{"window": 0}, {"decay": 0.0}, {"decay": 1.5}, {"decay": float("nan")}])
def test_impossible_windows_and_decays_are_refused(wrong):
    with pytest.raises(ArgumentError, match="cache"):
        dataclasses.replace(UnigramCache(WORDS), **wrong)
