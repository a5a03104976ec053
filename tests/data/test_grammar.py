"""Grammars: entropy, probability and samples agree with each other and with enumeration; verbs agree with subjects."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from rnnlm_jax.data import build_vocabulary, load_corpus
from rnnlm_jax.data.corpora.agreement_language import agreement_grammar
from rnnlm_jax.data.corpora.context_free_grammar import Grammar
from rnnlm_jax.data.corpora.grammar_corpus import grammar_corpus
from rnnlm_jax.data.corpora.grammar_entropy import entropy_rate, expected_length, sentence_entropy
from rnnlm_jax.data.corpora.grammar_parse import log_probability, summed_nats
from rnnlm_jax.errors import ArgumentError

FINITE = Grammar.from_text(
    "S",
    """
    S -> 0.5 A B | 0.3 x A | 0.2 B
    A -> 0.25 a | 0.75 a a C
    B -> 0.6 b | 0.4 C b
    C -> 0.1 c | 0.9 d
    """,
)
AMBIGUOUS = Grammar.from_text("S", "S -> 0.5 a | 0.25 a S | 0.25 T \n T -> 1.0 a S")
GRAMMAR = agreement_grammar()


def language(grammar, symbol):
    """All sentences of a finite grammar with the probability of each derivation."""
    if symbol not in grammar.alternatives:
        return [((symbol,), 1.0)]
    found = []
    for rule in grammar.alternatives[symbol]:
        for parts in product(*(language(grammar, part) for part in rule.right)):
            words = tuple(word for words, _ in parts for word in words)
            found.append((words, rule.probability * math.prod(p for _, p in parts)))
    return found


def test_entropy_and_length_of_a_finite_language_equal_those_by_enumeration():
    sentences = language(FINITE, "S")
    assert len({words for words, _ in sentences}) == len(sentences)
    assert sum(p for _, p in sentences) == pytest.approx(1, abs=1e-14)
    entropy = -sum(p * math.log(p) for _, p in sentences)
    length = sum(p * len(words) for words, p in sentences)
    assert sentence_entropy(FINITE) == pytest.approx(entropy, rel=1e-13)
    assert expected_length(FINITE) == pytest.approx(length, rel=1e-13)
    assert entropy_rate(FINITE) == pytest.approx(entropy / (length + 1), rel=1e-13)


def test_probabilities_of_a_finite_language_equal_those_by_enumeration():
    for words, p in language(FINITE, "S"):
        found = log_probability(FINITE, words)
        assert found.derivations == 1
        assert found.log_probability == pytest.approx(math.log(p), rel=1e-12)


@pytest.mark.parametrize("words", ["", "a", "a b b", "x", "x a a", "q", "b b"])
def test_words_that_are_not_a_sentence_have_no_derivation(words):
    assert log_probability(FINITE, words.split()) == (-math.inf, 0)


def test_length_entropy_and_probability_of_a_geometric_language():
    # n words with probability (1 - q) q^(n - 1)
    q = 0.7
    geometric = Grammar.from_text("S", f"S -> {1 - q} a | {q} a S")
    assert expected_length(geometric) == pytest.approx(1 / (1 - q))
    assert sentence_entropy(geometric) == pytest.approx((-q * math.log(q) - (1 - q) * math.log(1 - q)) / (1 - q))
    assert log_probability(geometric, ["a"] * 50).log_probability == pytest.approx(math.log(1 - q) + 49 * math.log(q))


def test_derivations_of_an_ambiguous_sentence_are_counted_and_summed():
    for n in range(1, 8):
        # each word but the last was written in one of two ways
        found = log_probability(AMBIGUOUS, ["a"] * n)
        assert found.derivations == 2 ** (n - 1)
        assert found.log_probability == pytest.approx(n * math.log(0.5))


def test_sample_frequencies_match_probabilities():
    rng = np.random.default_rng(3)
    counts = Counter(tuple(FINITE.sample(rng)) for _ in range(20_000))
    expected = {words: p * 20_000 for words, p in language(FINITE, "S")}
    assert set(counts) <= set(expected)
    statistic = sum((counts[words] - mean) ** 2 / mean for words, mean in expected.items())
    freedom = len(expected) - 1
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


SAMPLES = [GRAMMAR.sample(np.random.default_rng([11, k])) for k in range(3000)]


def test_every_sentence_has_one_derivation_and_their_surprisal_is_the_entropy():
    parses = [log_probability(GRAMMAR, words) for words in SAMPLES]
    assert {parse.derivations for parse in parses} == {1}
    nats = -np.array([parse.log_probability for parse in parses])
    error = nats.std() / math.sqrt(len(nats))
    assert abs(nats.mean() - sentence_entropy(GRAMMAR)) < 4 * error
    lengths = np.array([len(words) for words in SAMPLES])
    assert abs(lengths.mean() - expected_length(GRAMMAR)) < 4 * lengths.std() / math.sqrt(len(lengths))


def words_of(*classes):
    return {w: name for name in classes for rule in GRAMMAR.alternatives[name] for w in rule.right}


CLASSES = [f"{kind}_{number}" for kind in ("person", "animal", "thing") for number in ("sg", "pl")]
NOUNS = words_of(*(f"NOUN_{c}" for c in CLASSES))
VERBS = words_of(*(f"{verb}_{c}" for verb in ("TRANSITIVE", "INTRANSITIVE") for c in CLASSES), "COPULA_sg", "COPULA_pl")
OPENERS = words_of("DETERMINER_sg", "DETERMINER_pl")


def agreements(words):
    """Yield (class of subject, of verb, of the last noun, nouns between), found with a stack and without the grammar.

    A noun is a subject at the start of the sentence and after `that` with a determiner; after `that` with a verb the
    subject is the noun before `that`. A verb belongs to the last subject that still waits for one.
    """
    waiting, nouns, expecting = [], 0, True
    last = None
    for k, word in enumerate(words):
        if word in NOUNS:
            nouns += 1
            last = NOUNS[word].removeprefix("NOUN_")
            if expecting:
                waiting.append((last, nouns))
            expecting = False
        elif word == "that":
            if words[k + 1] in OPENERS:
                expecting = True
            else:
                waiting.append((last, nouns))
        elif word in VERBS:
            subject, position = waiting.pop()
            yield subject, VERBS[word].partition("_")[2], last, nouns - position
    assert not waiting


def test_verbs_agree_with_their_subjects_across_other_nouns():
    found = [agreement for words in SAMPLES for agreement in agreements(words)]
    assert all(subject.endswith(verb) for subject, verb, _, _ in found)  # a copula shows the number alone
    # the last noun before the verb is often another one than its subject, of another class
    assert sum(nouns >= 1 for *_, nouns in found) > 0.3 * len(found)
    assert sum(nouns >= 2 for *_, nouns in found) > 0.1 * len(found)
    assert sum(last != subject for subject, _, last, _ in found) > 0.25 * len(found)


def test_corpus_is_reproducible_and_its_true_cost_is_near_the_entropy_rate():
    corpus = load_corpus("grammar")
    assert [sum(1 for _ in corpus.lines(split)) for split in ("train", "valid", "test")] == [40_000, 4_000, 4_000]
    test = list(corpus.lines("test"))
    assert test == list(grammar_corpus().lines("test"))
    assert test != list(corpus.lines("valid"))
    assert test != list(load_corpus("grammar", seed=1).lines("test"))
    nats, tokens = summed_nats(GRAMMAR, test)
    assert tokens == len(build_vocabulary(corpus.lines("train")).encode(test))
    assert nats / tokens == pytest.approx(corpus.facts["entropy_rate"], rel=0.01)
    assert corpus.facts["perplexity"] == pytest.approx(math.exp(corpus.facts["entropy_rate"]))
    assert 10 < corpus.facts["expected_length"] < 14
    assert 60 <= len(GRAMMAR.words) <= 120
    assert build_vocabulary(corpus.lines("train"), unk=None).encode(test).oov == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S -> 0.5 a | 0.4 b", "sum to 0.9"),
        ("S -> 1.5 a | -0.5 b", "not positive"),
        ("S -> 0.5 | 0.5 b", "empty right side"),
        ("S -> 0.5 S a | 0.5 b", "left recursion"),
        ("S -> 0.5 T a | 0.5 b\nT -> 1.0 S", "left recursion"),
        ("S -> 0.5 a S S | 0.5 b", "grow without bound"),
        ("T -> 1.0 a", "has no rule"),
        ("S 1.0 a", "is not a rule"),
        ("S -> a b", "is not a rule"),
        ("S T -> 1.0 a", "is not a rule"),
    ],
)
def test_invalid_grammars_are_refused_in_one_line(text, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        Grammar.from_text("S", text)
    assert "\n" not in str(caught.value)


def test_impossible_seeds_and_sizes_are_refused():
    for settings in ({"seed": -1}, {"sentences": (10, 0, 10)}):
        with pytest.raises(ArgumentError):
            grammar_corpus(**settings)
