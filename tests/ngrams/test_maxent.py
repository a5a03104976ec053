"""Maximum entropy models: the definition word by word, the optimum against scipy's, and real text."""

import itertools

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm_jax import ngrams
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.ngrams import maxent
from rnnlm_jax.ngrams.maxent.maxent_training import kneser_ney_weights, optimal_weights
from rnnlm_jax.ngrams.maxent.ngram_features import features_from_tokens
from tests.ngrams.by_hand import sentences_of
from tests.ngrams.texts import encoded, penn_treebank, vocabulary, zipf_text

TEXTS = st.lists(st.integers(0, 4), min_size=1, max_size=40)  # type 5 is never seen


def weights_by_words(features, words, weights):
    """λ of each n-gram as a tuple of ids; V stands for <s>."""
    found, names = {}, [(w,) for w in range(words.size + 1)]
    for gram, weight in zip(features.grams, weights, strict=True):
        if gram is not features.grams[0]:
            names = [(*names[key // words.size], int(key % words.size)) for key in gram.keys]
        found |= dict(zip(names, weight, strict=True))
    return found


def nats_by_hand(by_words, sentences, size, order):
    """``ln Σ_v e^{Σ λ(h_k v)} − Σ λ(h_k w)`` of each token, word by word."""
    found = []
    for sentence in sentences:
        padded = (size, *sentence)
        for end in range(1, len(padded)):
            suffixes = [padded[max(end - n, 0) : end] for n in range(min(order, end + 1))]
            scores = np.array([sum(by_words.get((*h, v), 0.0) for h in suffixes) for v in range(size)])
            found.append(np.log(np.exp(scores).sum()) - scores[padded[end]])
    return np.array(found)


@settings(max_examples=40, deadline=None)
@given(train=TEXTS, test=TEXTS, order=st.integers(1, 4), eos=st.booleans(), seed=st.integers(0, 9))
def test_nats_of_any_weights_equal_the_definition(train, test, order, eos, seed):
    words, rng = vocabulary(6, eos), np.random.default_rng(seed)
    features = features_from_tokens(np.array(train), words.size, words.eos_id, order=order)
    weights = [rng.normal(size=gram.keys.size) for gram in features.grams]
    weights[0][words.size] = 0.0
    by_words = weights_by_words(features, words, weights)
    found = features.score(weights)
    model = ngrams.NgramModel(words, features.levels(found), "")
    expected = nats_by_hand(by_words, sentences_of(test, words.eos_id), words.size, order)
    np.testing.assert_allclose(model.token_nll(encoded(test)), expected, rtol=1e-9, atol=1e-12)
    assert features.nats(found) == pytest.approx(
        nats_by_hand(by_words, sentences_of(train, words.eos_id), 6, order).sum()
    )
    assert features.tokens == len(train)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_expected_counts_give_the_gradient(order):
    words, rng = vocabulary(12), np.random.default_rng(0)
    features = features_from_tokens(zipf_text(words, 30).tokens, words.size, words.eos_id, order=order)
    weights = [rng.normal(size=gram.keys.size) / 2 for gram in features.grams]
    weights[0][words.size] = 0.0
    expected = features.expected(features.score(weights))
    for k, gram in enumerate(features.grams):
        for place in rng.integers(0, gram.keys.size - (k == 0), 5):
            moved = []
            for by in (1e-5, -1e-5):
                near = [weight.copy() for weight in weights]
                near[k][place] += by
                moved.append(features.nats(features.score(near)))
            slope = (moved[0] - moved[1]) / 2e-5
            assert expected[k][place] - gram.counts[place] == pytest.approx(slope, abs=1e-5)


def test_the_optimum_equals_that_of_scipy():
    words = vocabulary(12)
    text, priors = zipf_text(words, 80), maxent.Priors((0.4, 0.3), (6.0, 2.0))
    features = features_from_tokens(text.tokens, words.size, words.eos_id, order=3)
    start = kneser_ney_weights(features, text, words)
    ours = np.concatenate(optimal_weights(features, priors, start, tolerance=1e-13))
    sizes = np.cumsum([part.size for part in start])[:-1]
    discount = np.repeat([0.0, 0.4, 0.3], [part.size for part in start])
    precision = np.repeat([0.01, 1 / 6, 1 / 2], [part.size for part in start])

    def objective(x):
        found = features.score(np.split(x, sizes))
        counts = np.concatenate([gram.counts for gram in features.grams])
        value = features.nats(found) + discount @ x + precision @ x**2 / 2
        return value, np.concatenate(features.expected(found)) - counts + discount + precision * x

    theirs = scipy.optimize.minimize(
        objective,
        np.zeros(ours.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 9999, "ftol": 1e-15},
    )
    assert objective(ours)[0] <= theirs.fun + 1e-9
    np.testing.assert_allclose(ours, theirs.x, atol=1e-3)
    assert np.abs(objective(ours)[1]).max() < 1e-4


def test_stopping_before_the_optimum_is_a_warning(monkeypatch, capsys):
    words = vocabulary(12)
    maxent.train(zipf_text(words, 80), words, 3)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("rnnlm_jax.ngrams.maxent.maxent_training.MAX_STEPS", 2)
    maxent.train(zipf_text(words, 80), words, 3)
    assert "stopped after 2 steps" in capsys.readouterr().err


@settings(max_examples=20, deadline=None)
@given(train=TEXTS, order=st.integers(1, 4), eos=st.booleans())
def test_probabilities_sum_to_one_after_every_history(train, order, eos):
    words = vocabulary(6, eos)
    model = maxent.train(encoded(train), words, order)
    for history in itertools.product(range(6), repeat=2):
        state = model.initial_state()
        for word in (words.start_id, *history):
            state, log_probs = model.log_probs(state, np.int32(word))
            assert np.exp(log_probs).sum() == pytest.approx(1.0, rel=1e-9)


def test_model_and_arpa_files_give_the_same_nats(tmp_path):
    words = vocabulary(12)
    text, test = zipf_text(words, 100), zipf_text(words, 20, seed=1)
    model = maxent.train(text, words, 3, priors=maxent.Priors((0.1,), (1.0,)))
    assert "maximum entropy 3-gram of" in model.describe() and "discounts 0.1, variances 1" in model.describe()
    model.save(tmp_path / "model")
    ngrams.write_arpa(model, tmp_path / "model.arpa")
    np.testing.assert_array_equal(ngrams.load(tmp_path / "model").token_nll(test), model.token_nll(test))
    np.testing.assert_allclose(ngrams.load(tmp_path / "model.arpa").token_nll(test), model.token_nll(test), atol=1e-6)


def test_chosen_priors_improve_the_loss_on_the_held_out_text():
    words = vocabulary(12)
    text, held_out = zipf_text(words, 60), zipf_text(words, 60, seed=1)
    chosen = maxent.choose_priors(text, words, 3, held_out=held_out)
    assert len(chosen.discounts) == len(chosen.variances) == 2
    nats = [
        maxent.train(text, words, 3, priors=priors).token_nll(held_out).sum() for priors in (chosen, maxent.Priors())
    ]
    assert nats[0] < nats[1]


def test_impossible_priors_orders_and_texts_are_refused():
    words = vocabulary()
    for discounts, variances in (((1.0,), (1.0,)), ((), (1.0,)), ((0.5,), ()), ((0.5,), (0.0,)), ((np.nan,), (1.0,))):
        with pytest.raises(ArgumentError, match="of a maximum entropy model must be"):
            maxent.Priors(discounts, variances)
    with pytest.raises(DataError, match="no tokens to count"):
        maxent.train(encoded([]), words, 2)
    with pytest.raises(ArgumentError, match="from 1 to 1000"):
        maxent.train(encoded([2, 1]), words, 0)
    with pytest.raises(DataError, match="held-out"):
        maxent.choose_priors(encoded([2, 1]), words, 2, held_out=encoded([]))


def test_better_than_kneser_ney_on_penn_treebank():
    """Of trigrams, in a few seconds; the 5-gram of the published 142.1 is a record of the perplexity table."""
    words, train, test = penn_treebank()
    perplexities = [np.exp(make(train, words, 3).token_nll(test).mean()) for make in (maxent.train, ngrams.train)]
    assert perplexities[0] < perplexities[1]
