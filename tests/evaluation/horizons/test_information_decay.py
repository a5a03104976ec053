"""Perplexity with contexts of k words against a tanh network by hand."""

import sys

import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.errors import DataError
from rnnlm_jax.evaluation.horizons import information_decay
from rnnlm_jax.language_model.model import language_model
from tests.evaluation.horizons.by_hand import ElmanByHand, read_before
from tests.training.tiny import random_params, text, vocabulary

WORDS = vocabulary()
TEXT = WORDS.encode(text(2).splitlines())
MODEL = language_model(cells.elman(4, param_dtype="float64"), WORDS.size, 3)
PARAMS = random_params(MODEL, scale=1.0)


def test_nats_with_each_context_and_their_standard_errors(monkeypatch):
    monkeypatch.setattr(sys.modules[information_decay.__module__], "BATCH_SIZE", 4)
    contexts, reports = (3, 1, 8, 3, len(TEXT), 10**6), []
    found = information_decay(MODEL, PARAMS, TEXT, WORDS, count=6, contexts=contexts, progress=reports.append)
    assert found.contexts.tolist() == [1, 3, 8]  # sorted, distinct, shorter than the text
    indices = np.linspace(7, len(TEXT) - 1, 6).round().astype(int)  # the eighth token is the first with eight before it
    assert found.tokens == 6

    tokens, by_hand = TEXT.tokens, ElmanByHand(PARAMS)

    def nll(steps):
        read = [read_before(tokens, WORDS.start_id, i, steps or i + 1) for i in indices]
        return np.array([by_hand.nll(inputs, tokens[i]) for inputs, i in zip(read, indices, strict=True)])

    rows = np.stack([nll(1), nll(3), nll(8), nll(None)])
    np.testing.assert_allclose([*found.nll, found.full_nll], rows.mean(axis=1), rtol=1e-12)
    errors = np.sqrt(np.square(rows - rows.mean(axis=1, keepdims=True)).sum(axis=1) / 5 / 6)
    np.testing.assert_allclose([*found.standard_errors, found.full_standard_error], errors, rtol=1e-10)
    assert np.ptp([*found.nll, found.full_nll]) > 0.01  # the context matters here
    assert sum(reports) == (1 + 3 + 8) * 8 + len(TEXT)  # the second batch is filled up


def test_a_text_too_short_for_any_context_is_an_error():
    with pytest.raises(DataError, match="a text of 1 tokens is too short for any context"):
        information_decay(MODEL, PARAMS, WORDS.encode([""]), WORDS, count=6)
