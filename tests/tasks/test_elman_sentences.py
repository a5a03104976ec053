"""Elman's sentences: their grammar, and the true probabilities of the next word against counts."""

import jax
import numpy as np
import pytest

from rnnlm_jax import tasks
from rnnlm_jax.tasks.elman_sentences import CLASSES, TEMPLATES, WORDS, next_word_probs
from tests.tasks import hidden_markov
from tests.tasks.reading import draw, symbols_of


@pytest.fixture(scope="module")
def drawn():
    return draw(tasks.elman_sentences(), 400, 250)


def sentences_of(sequences):
    """The whole sentences of each stream, as tuples of words."""
    words, places = symbols_of(sequences), sequences.targets[..., 1]
    np.testing.assert_array_equal(words[1:], sequences.targets[:-1, :, 0])
    assert not places[0].any()
    for stream, place in zip(words.T, places.T, strict=True):
        starts = [*np.flatnonzero(place == 0)]
        for start, end in zip(starts, starts[1:], strict=False):
            assert place[start:end].tolist() == list(range(end - start))
            yield tuple(WORDS[word] for word in stream[start:end])


def test_the_lexicon_has_29_words_and_the_paper_s_templates():
    assert len(WORDS) == len(set(WORDS)) == 29
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 16
    assert [word for word in WORDS if sum(word in words for words in CLASSES.values()) > 1] == ["see", "break"]
    assert tasks.elman_sentences().input_size == 31


def test_sentences_follow_the_templates(drawn):
    readings = {}
    for template in TEMPLATES:
        combinations = [()]
        for name in template:
            combinations = [(*words, word) for words in combinations for word in CLASSES[name]]
        for words in combinations:  # a sentence may follow two templates
            readings[words] = readings.get(words, 0) + 1 / len(TEMPLATES) / len(combinations)
    counts = {}
    for sentence in sentences_of(drawn):
        counts[sentence] = counts.get(sentence, 0) + 1
    total = sum(counts.values())
    assert counts.keys() <= readings.keys()
    assert total > 30_000
    for sentence, probability in readings.items():
        assert abs(counts.get(sentence, 0) - total * probability) < 5 * np.sqrt(total * probability) + 1


def test_true_probabilities_are_those_of_counts(drawn):
    probs = np.asarray(next_word_probs(drawn))
    np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-5)
    assert not probs[..., 29:].any()
    words, places = symbols_of(drawn), drawn.targets[..., 1]
    contexts = {}
    for b in range(words.shape[1]):
        for t in range(len(words)):
            context = tuple(words[t - places[t, b] : t + 1, b])
            contexts.setdefault(context, []).append((t, b))
    checked = 0
    for where in contexts.values():
        if len(where) >= 300:
            t, b = np.transpose(where)
            assert (probs[t, b] == probs[t[0], b[0]]).all()
            shares = np.bincount(drawn.targets[t, b, 0], minlength=31) / len(where)
            expected = probs[t[0], b[0]]
            assert (abs(shares - expected) < 5 * np.sqrt(expected / len(where)) + 2 / len(where)).all()
            assert not shares[expected == 0].any()
            checked += 1
    assert checked > 40


def test_two_word_sentences_may_have_ended(drawn):
    """After "man move" comes its object or the next sentence, each with probability one half."""
    words = np.array([WORDS.index(word) for word in ("man", "move", "rock")])
    sequences = drawn._replace(
        inputs=np.eye(31, dtype=np.float32)[words][:, None], targets=np.array([[[0, 0]], [[0, 1]], [[0, 2]]], np.int32)
    )
    after_man, after_move, after_rock = np.asarray(jax.jit(next_word_probs)(sequences))[:, 0]
    first = dict.fromkeys(WORDS, 0.0)
    for template in TEMPLATES:
        for word in CLASSES[template[0]]:
            first[word] += 1 / 16 / len(CLASSES[template[0]])
    np.testing.assert_allclose(after_rock[:29], list(first.values()), rtol=1e-5)
    inanimate = np.array([word in CLASSES["NOUN-INANIM"] for word in WORDS]) / 3
    np.testing.assert_allclose(after_move[:29], (np.array(list(first.values())) + inanimate) / 2, rtol=1e-5)
    assert after_man[WORDS.index("eat")] == pytest.approx(1 / 7)


def test_solved_is_just_below_what_an_ideal_reader_gets_right():
    uniform = {name: np.array([word in words for word in WORDS]) / len(words) for name, words in CLASSES.items()}
    reader = hidden_markov.reader([[uniform[name] for name in template] for template in TEMPLATES])
    accuracy = reader.shares @ reader.next_probs.max(axis=1)
    assert accuracy == pytest.approx(0.246, abs=5e-4)
    assert accuracy - 0.01 < tasks.elman_sentences().solved_accuracy < accuracy


def test_a_network_with_the_true_probabilities_solves_the_task(drawn):
    task = tasks.elman_sentences()
    outputs = np.log(np.maximum(np.asarray(next_word_probs(drawn)), 1e-9))
    assert float(task.accuracy(outputs, drawn)) > task.solved_accuracy
    assert float(task.mean_loss(outputs, drawn)) < 0.75 * task.chance_loss(250)
