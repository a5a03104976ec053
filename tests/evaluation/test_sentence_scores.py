"""Sentence scores: each sentence on its own, in the order of the text; probabilities sum to one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.data import EncodedText, Vocabulary, build_vocabulary
from rnnlm_jax.evaluation import evaluate, score_sentences, sentence_scores
from rnnlm_jax.language_model.model import language_model
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(8, param_dtype=jnp.float64), WORDS.size)
PARAMS = random_params(MODEL)
#: Empty, short, long, unknown and very long lines, in no order.
TEXT = WORDS.encode([*LINES, " ".join(["the cat"] * 40), "a unicorn", "", *LINES[::-1], " ".join(["mat"] * 17)])
STEP = jax.jit(MODEL.log_probs)


def naive_nll(line):
    """Nats of each token, step by step from the initial state."""
    state, before, nats = MODEL.initial_state(()), WORDS.eos_id, []
    for token in line.tolist():
        state, log_probs = STEP(PARAMS, state, jnp.asarray(before))
        nats.append(-float(log_probs[token]))
        before = token
    return np.array(nats)


@pytest.mark.parametrize(("batch_size", "long_sentence"), [(64, 4096), (4, 30)])
def test_each_line_is_scored_alone_in_the_order_of_the_text(monkeypatch, batch_size, long_sentence):
    monkeypatch.setattr(sentence_scores, "BATCH_SIZE", batch_size)
    monkeypatch.setattr(sentence_scores, "LONG_SENTENCE", long_sentence)
    scores = score_sentences(MODEL, PARAMS, TEXT, WORDS)
    lines = list(TEXT.lines())
    assert [nats.size for nats in scores] == [line.size for line in lines]
    for line, nats in zip(lines, scores, strict=True):
        np.testing.assert_allclose(nats, naive_nll(line), rtol=1e-11)
    empty = [nats for line, nats in zip(lines, scores, strict=True) if line.size == 1]
    assert len(empty) == 3  # the end of line only, with equal scores
    assert len({float(nats[0]) for nats in empty}) == 1


def test_a_carried_state_reads_the_text_as_one_stream():
    scores = score_sentences(MODEL, PARAMS, TEXT, WORDS, carry_state=True)
    assert [nats.size for nats in scores] == [line.size for line in TEXT.lines()]
    exact = evaluate(MODEL, PARAMS, TEXT, WORDS)
    np.testing.assert_allclose(np.concatenate(scores).sum(), exact.nll, rtol=1e-12)
    alone = score_sentences(MODEL, PARAMS, TEXT, WORDS)
    np.testing.assert_allclose(scores[0], alone[0], rtol=1e-12)  # the first has no context either way
    assert not np.allclose(scores[1], alone[1], rtol=1e-3)


def test_probabilities_of_all_continuations_sum_to_one():
    words = Vocabulary("word", ("<eos>", "a", "<unk>", "b"), "<unk>", "<eos>")
    model = language_model(cells.elman(4, param_dtype=jnp.float64), words.size)
    every = np.array(list(itertools.product(range(words.size), repeat=3)), np.int32)
    text = EncodedText(every.ravel(), np.arange(3, every.size + 1, 3), 0, every.size)
    scores = score_sentences(model, random_params(model, scale=2.0), text, words)
    probabilities = np.exp([-nats.sum() for nats in scores])
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-12)
    assert probabilities.max() > 2 * probabilities.min()


def test_a_line_without_tokens_has_an_empty_score():
    letters = build_vocabulary(["abc"], "char", eos=None)
    model = language_model(cells.elman(4, param_dtype=jnp.float64), letters.size)
    scores = score_sentences(model, random_params(model), letters.encode(["ab", "", "c"]), letters)
    assert [nats.size for nats in scores] == [2, 0, 1]
    assert all((nats > 0).all() for nats in scores)
