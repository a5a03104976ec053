"""Contexts of k words against a tanh network by hand that reads them, token by token."""

import sys

import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.evaluation.horizons import information_decay
from rnnlm_jax.language_model.model import language_model
from tests.evaluation.horizons.by_hand import ElmanByHand, read_before
from tests.training.tiny import random_params, text, vocabulary

WORDS = vocabulary()
TEXT = WORDS.encode(text(2).splitlines())
MODEL = language_model(cells.elman(4, param_dtype="float64"), WORDS.size, 3)
PARAMS = random_params(MODEL, scale=1.0)


def test_each_context_is_all_that_is_read(monkeypatch):
    monkeypatch.setattr(sys.modules[information_decay.__module__], "BATCH", 4)
    told = []
    found = information_decay(MODEL, PARAMS, TEXT, WORDS, 6, (3, 1, 8, 3, len(TEXT), 10**6), told.append)
    assert found.contexts.tolist() == [1, 3, 8]  # in order, each once, none as long as the text
    indices = np.linspace(7, len(TEXT) - 1, 6).round().astype(int)  # the eighth token is the first with eight before it
    assert found.tokens == 6

    tokens, by_hand = TEXT.tokens, ElmanByHand(PARAMS)

    def nats(steps):
        read = [read_before(tokens, WORDS.start_id, i, steps or i + 1) for i in indices]
        return np.array([by_hand.nats(inputs, tokens[i]) for inputs, i in zip(read, indices, strict=True)])

    rows = np.stack([nats(1), nats(3), nats(8), nats(None)])
    np.testing.assert_allclose([*found.nats, found.full_nats], rows.mean(axis=1), rtol=1e-12)
    errors = np.sqrt(np.square(rows - rows.mean(axis=1, keepdims=True)).sum(axis=1) / 5 / 6)
    np.testing.assert_allclose([*found.standard_errors, found.full_standard_error], errors, rtol=1e-10)
    assert np.ptp([*found.nats, found.full_nats]) > 0.01  # the past makes a difference here
    assert sum(told) == (1 + 3 + 8) * 8 + len(TEXT)  # the second batch is filled up


def test_a_text_without_any_context():
    with pytest.raises(UserError, match="a text of 1 tokens is too short for any context"):
        information_decay(MODEL, PARAMS, WORDS.encode([""]), WORDS, 6)
