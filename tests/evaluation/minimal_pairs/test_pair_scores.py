"""Scores of pairs by networks and n-gram models against the same models stepped one token at a time."""

import math
from contextlib import nullcontext
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from rnnlm_jax import cells, ngrams
from rnnlm_jax.config import Config
from rnnlm_jax.data import Vocabulary, build_vocabulary
from rnnlm_jax.errors import ArgumentError, DataError
from rnnlm_jax.evaluation.comparison import CountedModel, ModelInfo, TrainedRun
from rnnlm_jax.evaluation.minimal_pairs import (
    SENTENCE,
    WORD,
    Contrast,
    Pair,
    PairSet,
    accuracy_of,
    pair_scores_text,
    pair_summary,
    pair_table,
    report_pairs,
    score_pairs,
)
from rnnlm_jax.jobs.run_folder import START, Run
from rnnlm_jax.language_model.model import language_model
from tests.evaluation.comparison.given_scores import GivenScores
from tests.training.tiny import LINES, random_params, vocabulary

WORDS = vocabulary()


def pair(good, bad, group="g", contrast=None, **more):
    return Pair(good, bad, contrast, group, **more)


def at(prefix, good, bad, group="g", **more):
    return pair(f"{prefix} {good} .", f"{prefix} {bad} .", group, Contrast(prefix, good, prefix, bad), **more)


DATA = PairSet(
    "some",
    (
        at("the cat", "sat", "ran", "1"),
        at("a dog ran to", "the", "a", "0"),
        at("the cat sat on the", "mat on a dog", "dog", "0"),  # two and more words
        pair("the mat is on a dog", "the mat is on a dog and", "2"),  # no comparison at one word
        at("the unicorn", "sat", "ran", "1"),  # an unknown word before
        at("the cat", "leapt", "sat", "1"),  # an unknown word compared
        at("the cat", "leapt", "jumped", "10"),  # a tie, since both are unknown
        Pair(
            "the cat sat", "a dog sat", Contrast("the cat", "sat", "a dog", "sat"), "0"
        ),  # one word after two prefixes
    ),
    SENTENCE,
)


def no_bar(description, total):
    return nullcontext(SimpleNamespace(update=lambda tokens: None))


def network(vocab=WORDS):
    model = language_model(cells.lstm(7, dtype=jnp.float64, param_dtype=jnp.float64), vocab.size)
    return TrainedRun("net", Run(Config(), vocab, model, random_params(model), START), ModelInfo("network"))


def counted(vocab=WORDS, lines=LINES * 2, order=3):
    return CountedModel("kn", ngrams.train(vocab.encode(lines), vocab, order), ModelInfo("n-grams"))


def stepped(scorer, tokens):
    """``ln P`` of each token, by the distribution over all next tokens after each."""
    vocab, total = scorer.vocabulary, []
    if isinstance(scorer, TrainedRun):
        model, params = scorer.run.model, scorer.run.params
        state = model.initial_state(())
    else:
        model, params = scorer.model, None
        state = model.initial_state()
    for read, predicted in zip([vocab.start_id, *tokens[:-1]], tokens, strict=True):
        if params is None:
            state, log_probs = model.log_probs(state, read)
        else:
            state, log_probs = model.log_probs(params, state, jnp.asarray(read, jnp.int32))
        assert np.exp(np.asarray(log_probs)).sum() == pytest.approx(1.0)
        total.append(float(log_probs[predicted]))
    return total


def reference(scorer, prefix, words, end):
    """``-ln P(words | prefix)``, and of the end of the line after them, one word at a time."""
    vocab = scorer.vocabulary
    ids = [vocab.index.get(word, vocab.unk_id) for word in [*prefix.split(), *words.split()]]
    return -math.fsum(stepped(scorer, ids + ([vocab.eos_id] if end else []))[len(prefix.split()) :])


@pytest.mark.parametrize("make", [network, counted])
def test_sides_have_the_probabilities_of_each_alone(make):
    scorer = make()
    whole = score_pairs(scorer, DATA, make_bar=no_bar)
    assert whole.unit == SENTENCE
    without_dots = [(each.good.removesuffix(" ."), each.bad.removesuffix(" .")) for each in DATA.pairs]
    for number, (good, bad) in enumerate(without_dots):  # the vocabulary has no full stop
        assert whole.good_nll[number] == pytest.approx(reference(scorer, "", good, True), rel=1e-10)
        assert whole.bad_nll[number] == pytest.approx(reference(scorer, "", bad, True), rel=1e-10)

    words = score_pairs(scorer, DATA, make_bar=no_bar, unit=WORD)
    assert words.indices.tolist() == [0, 1, 2, 4, 5, 6, 7]
    for row, index in enumerate(words.indices):
        good_prefix, good, bad_prefix, bad = DATA.pairs[index].contrast
        assert words.good_nll[row] == pytest.approx(reference(scorer, good_prefix, good, False), rel=1e-10)
        assert words.bad_nll[row] == pytest.approx(reference(scorer, bad_prefix, bad, False), rel=1e-10)

    near = score_pairs(scorer, DATA, make_bar=no_bar, unit=WORD, context=1)
    for row, index in enumerate(near.indices):
        good_prefix, good, _, _ = DATA.pairs[index].contrast
        expected = reference(scorer, good_prefix.split()[-1], good, False)
        assert near.good_nll[row] == pytest.approx(expected, rel=1e-10)


def test_unknown_words_and_ties():
    words = score_pairs(network(), DATA, make_bar=no_bar, unit=WORD)
    assert words.unknown.tolist() == [False, False, False, True, True, True, False]
    assert words.unknown_compared.tolist() == [False, False, False, False, True, True, False]
    whole = score_pairs(network(), DATA, make_bar=no_bar)
    assert whole.unknown.tolist() == [False, False, False, False, True, True, True, False]
    assert whole.unknown_compared.tolist() == [False, False, False, False, False, True, True, False]
    report = report_pairs(words)
    assert report.all.ties == 1
    assert words.differences[5] == 0.0
    assert (report.all.pairs, report.known.pairs, report.known_compared.pairs) == (7, 4, 5)
    assert report.unknown_share == pytest.approx(3 / 7)
    assert report.left_out == 1
    assert report.known == accuracy_of(words.differences[[0, 1, 2, 6]])
    assert report.known_compared == accuracy_of(words.differences[[0, 1, 2, 3, 6]])


def test_permutations_are_a_tie_of_a_unigram_model():
    """Whatever the order in which their nats are added."""
    scorer = counted(order=1)
    data = PairSet("order", (pair("on the mat sat a dog", "a dog sat on the mat"),), SENTENCE)
    assert report_pairs(score_pairs(scorer, data, make_bar=no_bar)).all.ties == 1


def test_figures_are_those_of_the_scores():
    scores = score_pairs(counted(), DATA, make_bar=no_bar)
    report = report_pairs(scores)
    by_group = {
        name: accuracy_of([d for d, each in zip(scores.differences, DATA.pairs, strict=True) if each.group == name])
        for name in ("0", "1", "2", "10")
    }
    assert list(report.groups) == ["0", "1", "2", "10"]  # numbers in their order
    assert report.groups == by_group
    assert report.categories == {}
    summary = report.summary()
    assert summary["accuracy"] == report.all.value == accuracy_of(scores.differences).value
    assert summary["pairs"] == 8 == sum(part["pairs"] for part in summary["groups"].values())
    assert sum(part["pairs"] for part in summary["distances"].values()) == 8
    assert sum(part["pairs"] for part in summary["distance_bins"]) == 8
    assert summary["distances"]["6"]["pairs"] == 1  # the sentence that another begins with: 6 words are common

    alone, both = pair_summary([report]), pair_summary([report, report])
    assert {"accuracy", "pairs", "groups", "models"} <= alone.keys()
    assert both["models"] == [summary, summary]
    assert "accuracy" not in both
    table = pair_table([report])
    assert f"{100 * report.all.value:.1f} %" in table
    assert "10 " in table

    rows = [line.split("\t") for line in pair_scores_text([scores]).splitlines()]
    assert rows[0][-3:] == ["kn good nats", "kn bad nats", "kn unknown"]
    assert [float(row[6]) for row in rows[1:]] == scores.good_nll.tolist()
    assert [float(row[7]) for row in rows[1:]] == scores.bad_nll.tolist()


def test_characters_are_compared_up_to_the_space_after_the_word():
    letters = build_vocabulary(["is isn't are a dog", "dogs are a"], "char")
    scorer = counted(letters, ["a dog isn't", "a dog is a dog", "dogs are"] * 3)
    data = PairSet("letters", (at("a dog", "is", "isn't"), at("a dog", "isn't", "are")), WORD)
    scores = score_pairs(scorer, data, make_bar=no_bar)
    ids = [letters.index[letter] for letter in "a dog is "]
    assert scores.good_nll[0] == pytest.approx(-math.fsum(stepped(scorer, ids)[len("a dog") :]), rel=1e-10)


def test_subwords_are_compared_by_all_their_tokens():
    pytest.importorskip("tokenizers")
    subwords = build_vocabulary(["the cats sat", "the cat sits on mats"] * 3, "subword", max_size=270)
    scorer = network(subwords)
    data = PairSet("parts", (at("the cats", "sits", "sat"), at("the cat", "on", "mats")), WORD)
    scores = score_pairs(scorer, data, make_bar=no_bar)
    for row, each in enumerate(data.pairs):
        prefix, good, _, bad = each.contrast
        for word, found in ((good, scores.good_nll), (bad, scores.bad_nll)):
            ids = subwords.encode_line(f"{prefix} {word}")
            expected = -math.fsum(stepped(scorer, ids)[len(subwords.encode_line(prefix)) :])
            assert found[row] == pytest.approx(expected, rel=1e-10)


def test_what_cannot_be_scored_is_refused():
    whole = PairSet("whole", (pair("the cat", "the cat sat"),), SENTENCE)
    with pytest.raises(DataError, match="no pair of whole can be compared at one word"):
        score_pairs(network(), whole, make_bar=no_bar, unit=WORD)
    with pytest.raises(ArgumentError, match="unknown `unit` 'line'"):
        score_pairs(network(), DATA, make_bar=no_bar, unit="line")
    for options in ({"context": 3}, {"unit": WORD, "context": -1}):
        with pytest.raises(ArgumentError, match="`context` is a number of words"):
            score_pairs(network(), DATA, make_bar=no_bar, **options)
    foreign = PairSet("foreign", (pair("der Hund", "die Hund"),), SENTENCE)
    with pytest.raises(DataError, match="none of the 4 tokens of foreign is in the vocabulary"):
        score_pairs(network(), foreign, make_bar=no_bar)
    closed = Vocabulary("word", ("the", "cat", "sat", "</s>"), None, "</s>")
    with pytest.raises(DataError, match="'dog' .*is not in the vocabulary.*; it is in 'the dog'"):
        score_pairs(network(closed), PairSet("c", (pair("the cat", "the dog"),), SENTENCE), make_bar=no_bar)
    broken = GivenScores("broken", np.full(1000, np.nan))
    with pytest.raises(DataError, match="broken gives a token of some no probability but NaN"):
        score_pairs(broken, DATA, make_bar=no_bar)


def test_a_model_without_probability_for_either_side_is_undecided():
    impossible = GivenScores("zero", np.full(1000, np.inf))
    assert report_pairs(score_pairs(impossible, DATA, make_bar=no_bar)).all.ties == len(DATA.pairs)
