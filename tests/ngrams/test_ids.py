"""Token ids as arrays, lists and numbers, and ids outside the vocabulary, for every n-gram model."""

import numpy as np
import pytest

from rnnlm_jax import ngrams
from rnnlm_jax.errors import ArgumentError
from tests.ngrams.texts import vocabulary, zipf_text

VOCABULARY = vocabulary()
TEXT = zipf_text(VOCABULARY, 30)
MODELS = {
    "kneser-ney": ngrams.train(TEXT, VOCABULARY, 3),
    "maxent": ngrams.maxent.train(TEXT, VOCABULARY, 2),
    "snm": ngrams.snm.train(TEXT, VOCABULARY, ngrams.snm.ngram_types(3)),
}
UNIGRAM, BIGRAM = (kind(TEXT.tokens, VOCABULARY.size) for kind in (ngrams.UnigramBaseline, ngrams.BigramBaseline))
WRONG = {
    "beyond": ([0, VOCABULARY.size], "token 6 is not among the 6"),
    "negative": ([0, -1], "token -1 is not among the 6"),
    "fractional": ([0.5, 1.0], "tokens must be an array of whole numbers, not list of float64"),
    "words": (["the", "cat"], "tokens must be an array of whole numbers"),
    "ragged": ([[0], [1, 2]], "tokens must be an array of whole numbers"),
}


@pytest.mark.parametrize("name", MODELS)
def test_lists_and_numbers_step_as_arrays_do(name):
    model = MODELS[name]
    state = model.initial_state((2,))
    wanted_state, wanted = model.log_probs(state, np.array([1, 3]))
    found_state, found = model.log_probs(state, [1, 3])
    np.testing.assert_array_equal(found, wanted)
    for part, other in zip(found_state, wanted_state, strict=True):
        np.testing.assert_array_equal(part, other)
    one = model.log_probs(model.initial_state(()), 3)[1]
    np.testing.assert_allclose(one, wanted[1], rtol=1e-12)


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("name", MODELS)
def test_ids_outside_the_vocabulary_are_refused(name, case):
    tokens, pattern = WRONG[case]
    model = MODELS[name]
    with pytest.raises(ArgumentError, match=pattern):
        model.log_probs(model.initial_state((2,)), tokens)
    with pytest.raises(ArgumentError, match="the text must be encoded.*list"):
        model.token_nll(tokens)


@pytest.mark.parametrize("case", WRONG)
def test_baselines_check_ids_too(case):
    tokens, pattern = WRONG[case]
    for call in (
        lambda: UNIGRAM.nats(tokens),
        lambda: BIGRAM.nats(tokens, 0),
        lambda: BIGRAM.probabilities([0, 1], tokens),
        lambda: ngrams.UnigramBaseline(tokens, VOCABULARY.size),
        lambda: ngrams.BigramBaseline(tokens, VOCABULARY.size),
    ):
        with pytest.raises(ArgumentError, match=pattern):
            call()
    np.testing.assert_array_equal(UNIGRAM.nats([1, 2]), UNIGRAM.nats(np.array([1, 2])))
    np.testing.assert_array_equal(BIGRAM.nats([1, 2], 1), BIGRAM.nats(np.array([1, 2]), 1))
    with pytest.raises(ArgumentError, match="the text must be encoded"):
        ngrams.UnigramCache(VOCABULARY).token_nll(tokens)
