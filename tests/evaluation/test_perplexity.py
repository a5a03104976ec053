"""Evaluation against the plainest loop over a text: one token, one step."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.evaluation import perplexity as evaluation
from rnnlm_jax.evaluation.comparison.dynamic_evaluation import dynamic, dynamic_nll
from rnnlm_jax.evaluation.horizons import gradient_decay, information_decay
from rnnlm_jax.evaluation.horizons.text_spectra import text_exponents, text_spectra
from rnnlm_jax.evaluation.perplexity import LOGITS_AT_ONCE, Evaluation, evaluate, perplexity, steps_per_call
from rnnlm_jax.evaluation.rescoring.tree_scoring import sentence_nll
from rnnlm_jax.evaluation.sentence_scores import score_sentences
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.ngrams import UnigramCache
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(8, param_dtype=jnp.float64), WORDS.size)
PARAMS = random_params(MODEL)
TEXT = WORDS.encode([*LINES, "a unicorn sat on the mat", *LINES])
STEP = jax.jit(MODEL.log_probs)


def naive_nats(tokens, first):
    """Step by step from initial state; ``first`` is what stands before the first token."""
    state, before, total = MODEL.initial_state(()), first, 0.0
    for token in tokens.tolist():
        state, log_probs = STEP(PARAMS, state, jnp.asarray(before))
        total -= float(log_probs[token])
        before = token
    return total


def test_one_stream_is_exact():
    found = evaluate(MODEL, PARAMS, TEXT, WORDS)
    np.testing.assert_allclose(found.nats, naive_nats(TEXT.tokens, WORDS.eos_id), rtol=1e-12)
    assert found.tokens == TEXT.tokens.size
    assert found.summary()["exact"] is True
    assert "one continuous stream" in str(found)


@pytest.mark.parametrize("window", [7, 1000])
def test_the_window_changes_nothing(monkeypatch, window):
    expected = evaluate(MODEL, PARAMS, TEXT, WORDS).nats
    monkeypatch.setattr(evaluation, "steps_per_call", lambda model, streams: window)
    np.testing.assert_allclose(evaluate(MODEL, PARAMS, TEXT, WORDS).nats, expected, rtol=1e-13)


def test_streams_are_pieces_without_their_past_and_say_so():
    streams = 3
    found = evaluate(MODEL, PARAMS, TEXT, WORDS, streams)
    length = -(-TEXT.tokens.size // streams)
    pieces = [TEXT.tokens[start : start + length] for start in range(0, TEXT.tokens.size, length)]
    firsts = [WORDS.eos_id, *(int(piece[-1]) for piece in pieces[:-1])]  # the token before, but no state
    expected = sum(naive_nats(piece, first) for piece, first in zip(pieces, firsts, strict=True))
    np.testing.assert_allclose(found.nats, expected, rtol=1e-12)
    assert found.tokens == TEXT.tokens.size
    assert abs(found.nats - evaluate(MODEL, PARAMS, TEXT, WORDS).nats) > 1e-3
    assert found.summary()["exact"] is False
    assert "APPROXIMATE: 3 streams" in str(found)


def test_figures_are_those_of_the_formulas():
    lines = [*LINES, "a unicorn sat on the mat", *LINES]
    found = evaluate(MODEL, PARAMS, TEXT, WORDS)
    characters = sum(len(line) + 1 for line in lines)
    figures = found.summary()
    np.testing.assert_allclose(figures["perplexity"], np.exp(found.nats / found.tokens), rtol=1e-14)
    np.testing.assert_allclose(figures["bits_per_character"], found.nats / np.log(2) / characters, rtol=1e-14)
    np.testing.assert_allclose(figures["nats_per_token"] * figures["tokens"], figures["nats"], rtol=1e-14)
    assert figures["characters"] == characters
    assert figures["oov"] == 1  # the unicorn
    assert figures["policy"] == WORDS.describe()
    for part in (f"{figures['perplexity']:.3f}", "1 OOV", WORDS.describe(), f"{figures['bits_per_character']:.4f}"):
        assert part in str(found)


def test_progress_hears_of_every_token():
    heard = []
    evaluate(MODEL, PARAMS, TEXT, WORDS, 2, heard.append)
    assert sum(heard) == TEXT.tokens.size


def test_perplexity_of_what_is_not_finite():
    assert perplexity(math.log(7.0) * 3, 3) == pytest.approx(7.0, rel=1e-14)
    assert perplexity(1e6, 1) == math.inf
    assert perplexity(math.inf, 1) == math.inf
    assert math.isnan(perplexity(math.nan, 1))  # never a number that looks like a result
    assert math.isnan(Evaluation(math.nan, 3, 0, 9, "").perplexity)


@pytest.mark.parametrize(("size", "streams"), [(10, 1), (10_000, 1), (800_000, 1), (10_000, 64)])
def test_windows_keep_the_logits_small(size, streams):
    window = steps_per_call(language_model(cells.elman(4), size), streams)
    assert window & (window - 1) == 0
    assert 16 <= window <= 1024
    assert window == 16 or window * streams * size <= LOGITS_AT_ONCE


@pytest.mark.parametrize("streams", [0, -2])
def test_streams_must_be_positive(streams):
    with pytest.raises(UserError, match=f"streams must be positive, not {streams}"):
        evaluate(MODEL, PARAMS, TEXT, WORDS, streams)


def test_an_empty_text_is_refused():
    with pytest.raises(UserError, match="not empty"):
        evaluate(MODEL, PARAMS, WORDS.encode([]), WORDS)


@pytest.mark.parametrize(
    "score",
    [
        lambda text: evaluate(MODEL, PARAMS, text, WORDS),
        lambda text: score_sentences(MODEL, PARAMS, text, WORDS),
        lambda text: sentence_nll(MODEL, PARAMS, text, WORDS),
        lambda text: dynamic_nll(MODEL, PARAMS, text, WORDS, dynamic("sgd")),
        lambda text: information_decay(MODEL, PARAMS, text, WORDS, 2, [1]),
        lambda text: gradient_decay(MODEL, PARAMS, text.tokens, WORDS.start_id, 1, 2),
        lambda text: text_spectra(MODEL, PARAMS, text.tokens, WORDS.start_id, [1], 2),
        lambda text: text_exponents(MODEL, PARAMS, text.tokens, WORDS.start_id),
        lambda text: UnigramCache(WORDS).token_nll(text),
    ],
)
def test_a_text_of_another_vocabulary_is_refused(score):
    """Compiled programs take an id beyond the last for the last: the figure would be one of another text."""
    longer = build_vocabulary([*LINES, *(f"word{i}" for i in range(9))])
    with pytest.raises(UserError, match=f"ids beyond the {WORDS.size} types of the model: encode it anew"):
        score(longer.encode([*LINES, "word8 sat on the mat"]))
