"""Neural cache against sums over the past, written as in the paper."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells
from rnnlm_jax.config import Config
from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.evaluation.comparison import mixture_nll, neural_cache
from rnnlm_jax.jobs.run_folder import START, Run
from rnnlm_jax.language_model.model import language_model
from tests.evaluation.horizons.by_hand import ElmanByHand
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()
MODEL = language_model(cells.elman(5, dtype=jnp.float64, param_dtype=jnp.float64), WORDS.size, executor="scan")
RUN = Run(Config(), WORDS, MODEL, random_params(MODEL), START)
TEXT = WORDS.encode(LINES * 12)  # more than two blocks


def distribution(hs, tokens, t, window, flatness):
    """Distribution of the word at position t, given the words before it."""
    found = np.zeros(WORDS.size)
    for i in range(max(0, t - window), t):
        found[tokens[i]] += np.exp(flatness * hs[t] @ hs[i])
    return found / found.sum()


@pytest.mark.parametrize(("window", "flatness"), [(7, 0.4), (300, 0.0), (5000, 2.0)])
def test_nats_equal_sums_over_the_past(window, flatness):
    assert len(TEXT) > 300
    tokens = TEXT.tokens
    hs = ElmanByHand(RUN.params).states(np.concatenate([[WORDS.start_id], tokens[:-1]]))
    found = neural_cache(RUN, window, flatness).token_nll(TEXT)
    positions = [1, 2, 6, 7, 8, 50, 255, 256, 257, 299, 300, 301, len(TEXT) - 1]
    with np.errstate(divide="ignore"):
        expected = [-np.log(distribution(hs, tokens, t, window, flatness)[tokens[t]]) for t in positions]
    np.testing.assert_allclose(found[positions], expected, rtol=1e-9, atol=1e-12)
    assert found[0] == np.log(WORDS.size)
    assert np.isposinf(found).any()  # words not seen so far


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("flatness", [1e30, 1e38, 1e39, 1e308])
def test_a_very_large_flatness_leaves_the_most_similar_state(flatness, dtype):
    model = language_model(cells.elman(5, dtype=dtype, param_dtype=dtype), WORDS.size, executor="scan")
    run = Run(Config(), WORDS, model, random_params(model), START)
    found = neural_cache(run, 300, flatness).token_nll(TEXT)
    assert not np.isnan(found).any()
    hs = np.asarray(model.hidden(run.params, model.initial_state(()), np.r_[WORDS.start_id, TEXT.tokens[:-1]], None)[1])
    for t in (1, 2, 5, 30):
        similarity = hs[:t].astype(np.float64) @ hs[t]
        if TEXT.tokens[np.argmax(similarity)] == TEXT.tokens[t]:
            assert found[t] == 0.0
        else:
            assert found[t] > 1e25  # or infinite


def test_in_a_mixture_a_new_word_gets_the_share_of_the_model():
    nats = neural_cache(RUN, 7).token_nll(TEXT)
    own = np.full(len(TEXT), 2.0)
    mixed = mixture_nll(np.stack([own, nats]), np.array([0.9, 0.1]))
    np.testing.assert_allclose(mixed[np.isposinf(nats)], 2.0 - np.log(0.9), rtol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "1 word or more"),
        ({"flatness": -0.1}, "0 or more"),
        ({"flatness": float("nan")}, "0 or more"),
        ({"flatness": float("inf")}, "0 or more"),
    ],
)
def test_errors_of_arguments(options, message):
    with pytest.raises(ArgumentError, match=message):
        neural_cache(RUN, **options)
