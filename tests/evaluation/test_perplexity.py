"""Evaluation against a plain loop over a text, one token at a time."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import UserError, cells
from rnnlm_jax.data import build_vocabulary
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation import Evaluation, evaluate, score_sentences
from rnnlm_jax.evaluation import perplexity as module
from rnnlm_jax.evaluation.comparison import dynamic_nll, dynamic_rule
from rnnlm_jax.evaluation.horizons import gradient_decay, information_decay, text_exponents, text_spectra
from rnnlm_jax.evaluation.perplexity import LOGITS_AT_ONCE, perplexity, steps_per_call
from rnnlm_jax.evaluation.rescoring.tree_scoring import sentence_nll
from rnnlm_jax.language_model.model import language_model
from rnnlm_jax.ngrams import UnigramCache
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(8, param_dtype=jnp.float64), WORDS.size)
PARAMS = random_params(MODEL)
TEXT = WORDS.encode([*LINES, "a unicorn sat on the mat", *LINES])
STEP = jax.jit(MODEL.log_probs)


def naive_nll(tokens, first):
    """Summed nats, step by step from the initial state; ``first`` is the input before the first token."""
    state, before, total = MODEL.initial_state(()), first, 0.0
    for token in tokens.tolist():
        state, log_probs = STEP(PARAMS, state, jnp.asarray(before))
        total -= float(log_probs[token])
        before = token
    return total


def test_one_stream_is_exact():
    found = evaluate(MODEL, PARAMS, TEXT, WORDS)
    np.testing.assert_allclose(found.nll, naive_nll(TEXT.tokens, WORDS.eos_id), rtol=1e-12)
    assert found.tokens == TEXT.tokens.size
    assert found.summary()["exact"] is True
    assert "one continuous stream" in str(found)


@pytest.mark.parametrize("steps", [7, 1000])
def test_the_steps_per_call_do_not_change_the_result(monkeypatch, steps):
    expected = evaluate(MODEL, PARAMS, TEXT, WORDS).nll
    monkeypatch.setattr(module, "steps_per_call", lambda model, streams: steps)
    np.testing.assert_allclose(evaluate(MODEL, PARAMS, TEXT, WORDS).nll, expected, rtol=1e-13)


def test_streams_start_from_the_initial_state_and_are_reported_as_approximate():
    streams = 3
    found = evaluate(MODEL, PARAMS, TEXT, WORDS, streams=streams)
    length = -(-TEXT.tokens.size // streams)
    pieces = [TEXT.tokens[start : start + length] for start in range(0, TEXT.tokens.size, length)]
    # The first input is the token before, but the state is the initial one.
    firsts = [
        WORDS.eos_id,
        *(int(piece[-1]) for piece in pieces[:-1]),
    ]
    expected = sum(naive_nll(piece, first) for piece, first in zip(pieces, firsts, strict=True))
    np.testing.assert_allclose(found.nll, expected, rtol=1e-12)
    assert found.tokens == TEXT.tokens.size
    assert abs(found.nll - evaluate(MODEL, PARAMS, TEXT, WORDS).nll) > 1e-3
    assert found.summary()["exact"] is False
    assert "APPROXIMATE: 3 streams" in str(found)


def test_figures_follow_their_formulas():
    lines = [*LINES, "a unicorn sat on the mat", *LINES]
    found = evaluate(MODEL, PARAMS, TEXT, WORDS)
    characters = sum(len(line) + 1 for line in lines)
    figures = found.summary()
    np.testing.assert_allclose(figures["perplexity"], np.exp(found.nll / found.tokens), rtol=1e-14)
    np.testing.assert_allclose(figures["bits_per_character"], found.nll / np.log(2) / characters, rtol=1e-14)
    np.testing.assert_allclose(figures["nats_per_token"] * figures["tokens"], figures["nats"], rtol=1e-14)
    assert figures["characters"] == characters
    assert figures["oov"] == 1  # the unicorn
    assert figures["policy"] == WORDS.describe()
    for part in (f"{figures['perplexity']:.3f}", "1 OOV", WORDS.describe(), f"{figures['bits_per_character']:.4f}"):
        assert part in str(found)


def test_progress_reports_sum_to_the_number_of_tokens():
    reports = []
    evaluate(MODEL, PARAMS, TEXT, WORDS, streams=2, progress=reports.append)
    assert sum(reports) == TEXT.tokens.size


def test_perplexity_of_large_and_infinite_and_nan_nats():
    assert perplexity(math.log(7.0) * 3, 3) == pytest.approx(7.0, rel=1e-14)
    assert perplexity(1e6, 1) == math.inf
    assert perplexity(math.inf, 1) == math.inf
    assert math.isnan(perplexity(math.nan, 1))  # never a number that looks like a result
    assert math.isnan(Evaluation(math.nan, 3, 0, 9, "").perplexity)


@pytest.mark.parametrize(("size", "streams"), [(10, 1), (10_000, 1), (800_000, 1), (10_000, 64)])
def test_steps_per_call_are_a_power_of_two_and_keep_the_logits_small(size, streams):
    steps = steps_per_call(language_model(cells.elman(4), size), streams)
    assert steps & (steps - 1) == 0
    assert 16 <= steps <= 1024
    assert steps == 16 or steps * streams * size <= LOGITS_AT_ONCE


@pytest.mark.parametrize("streams", [0, -2])
def test_streams_must_be_positive(streams):
    with pytest.raises(ArgumentError, match=f"`streams` must be positive, not {streams}"):
        evaluate(MODEL, PARAMS, TEXT, WORDS, streams=streams)


def test_an_empty_text_is_an_error():
    with pytest.raises(UserError, match="not empty"):
        evaluate(MODEL, PARAMS, WORDS.encode([]), WORDS)


@pytest.mark.parametrize(
    "score",
    [
        lambda text: evaluate(MODEL, PARAMS, text, WORDS),
        lambda text: score_sentences(MODEL, PARAMS, text, WORDS),
        lambda text: sentence_nll(MODEL, PARAMS, text, WORDS),
        lambda text: dynamic_nll(MODEL, PARAMS, text, WORDS, rule=dynamic_rule("sgd")),
        lambda text: information_decay(MODEL, PARAMS, text, WORDS, count=2, contexts=[1]),
        lambda text: gradient_decay(MODEL, PARAMS, text.tokens, start_id=WORDS.start_id, largest_lag=1, count=2),
        lambda text: text_spectra(MODEL, PARAMS, text.tokens, start_id=WORDS.start_id, lags=[1], count=2),
        lambda text: text_exponents(MODEL, PARAMS, text.tokens, start_id=WORDS.start_id),
        lambda text: UnigramCache(WORDS).token_nll(text),
    ],
)
def test_a_text_of_another_vocabulary_is_an_error(score):
    """Compiled programs clip ids to the last one, so the figure would silently be that of another text."""
    longer = build_vocabulary([*LINES, *(f"word{i}" for i in range(9))])
    with pytest.raises(UserError, match=f"ids beyond the {WORDS.size} types of the model: encode it again"):
        score(longer.encode([*LINES, "word8 sat on the mat"]))
