"""The embedded Reber grammar: strings are accepted by a second automaton, and legal successors are all it allows."""

import re

import jax
import numpy as np
import pytest

from rnnlm_jax import tasks
from rnnlm_jax.tasks.reber import SYMBOLS
from tests.tasks.reading import draw, symbols_of

#: The Reber grammar as a regular expression: the S loop, then the two paths to E, which meet in one cycle.
REBER = "B(TS*(X(XT*VP)*(S|XT*VV)|X(XT*VP)*S)|PT*V(PXT*V)*(V|PS))E"
EMBEDDED = re.compile(f"B(T{REBER}T|P{REBER}P)E")


def strings_of(sequences):
    """The strings of sequences of the task."""
    symbols = symbols_of(sequences)
    texts = []
    for column, following, asked in zip(symbols.T, sequences.targets[..., 0].T, sequences.mask.T, strict=True):
        length = asked.sum()
        assert asked[:length].all()
        assert (column[length:] == -1).all()
        np.testing.assert_array_equal(column[1:length], following[: length - 1])
        texts.append("".join(SYMBOLS[symbol] for symbol in [*column[:length], following[length - 1]]))
    return texts


@pytest.fixture(scope="module")
def drawn():
    return draw(tasks.embedded_reber(), 6000, 40)


def test_strings_are_accepted_by_a_regular_expression(drawn):
    texts = strings_of(drawn)
    assert all(EMBEDDED.fullmatch(text) for text in texts)
    assert not EMBEDDED.fullmatch("BTBTXSEPE")
    assert min(map(len, texts)) == 9
    assert len(set(texts)) > 500


def test_each_edge_is_taken_half_of_the_time(drawn):
    """All strings of a length in proportion to 2^-choices: each symbol but those that are certain is a choice."""
    texts = strings_of(drawn)
    choices = (drawn.targets[..., 1:].sum(axis=-1) == 2) & drawn.mask
    for text in ["BTBTXSETE", "BPBPVVEPE", "BTBTSXSETE", "BPBTXXVVEPE", "BTBPTVPSETE"]:
        at = texts.index(text) if text in texts else None
        assert at is not None, text
        probability = 0.5 ** choices[:, at].sum()
        assert texts.count(text) / 6000 == pytest.approx(probability, abs=5 * np.sqrt(probability / 6000))


def test_legal_successors_are_those_with_which_a_string_can_go_on(drawn):
    texts = strings_of(drawn)
    follows = {}
    for text in texts:
        for end in range(1, len(text)):
            follows.setdefault(text[:end], set()).add(text[end])
    seen = 0
    for b, text in enumerate(texts):
        for end in range(1, len(text)):
            legal = {SYMBOLS[i] for i in np.flatnonzero(drawn.targets[end - 1, b, 1:])}
            assert follows[text[:end]] <= legal
            if texts.count(text) > 20:  # all that can follow have followed
                seen += 1
                assert follows[text[:end]] == legal
    assert seen > 100


def test_strings_are_at_most_as_long_as_the_length():
    short = draw(tasks.embedded_reber(), 3000, 9)
    texts = strings_of(short)
    assert {len(text) for text in texts} == {9, 10}
    counts = {text: texts.count(text) for text in set(texts)}
    # all four of nine symbols, and those with one loop, of half the probability: conditional on the length
    assert len([text for text in counts if len(text) == 9]) == 4
    total = sum(0.5 ** (4 + len(text) - 9) for text in counts)
    for text, count in counts.items():
        assert count / 3000 == pytest.approx(0.5 ** (4 + len(text) - 9) / total, abs=0.03)


def test_the_second_symbol_must_be_remembered():
    task = tasks.embedded_reber()
    sequences = draw(task, 200, 40)
    legal = sequences.targets[..., 1:].astype(np.float32)
    assert float(task.accuracy(legal, sequences)) == 1
    forgetful = legal.copy()
    last = sequences.mask.sum(axis=0) - 2  # here T or P is asked
    forgetful[last, range(200), SYMBOLS.index("T")] = 1
    forgetful[last, range(200), SYMBOLS.index("P")] = 1
    assert float(task.accuracy(forgetful, sequences)) == 0


def test_the_loss_reads_the_next_symbol_only():
    task = tasks.embedded_reber()
    sequences = draw(task, 20, 40)
    outputs = np.random.default_rng(0).standard_normal((40, 20, 7)).astype(np.float32)
    scrambled = sequences.targets.copy()
    scrambled[..., 1:] = 1 - scrambled[..., 1:]
    np.testing.assert_array_equal(task.loss(outputs, sequences.targets), task.loss(outputs, scrambled))


def test_fixed_strings_are_trained_on_and_tested_apart():
    task = tasks.embedded_reber(strings=32)
    train = set(strings_of(draw(task, 1000, 40)))
    tests = jax.tree.map(np.asarray, task.draw_test(jax.random.key(0), 64, 40))
    test_strings = strings_of(tests)
    assert len(train) <= 32
    assert not train & set(test_strings)
    assert all(EMBEDDED.fullmatch(text) for text in [*train, *test_strings])
    halves = sorted(test_strings[:32]), sorted(test_strings[32:])
    assert halves[0] == halves[1]  # each of the 32 once, then again
    other = set(strings_of(draw(tasks.embedded_reber(32, 1), 1000, 40)))
    assert other != train
    assert task.solved_accuracy == 1
    assert task.test_size == 32
    assert tasks.embedded_reber().test_sample is tasks.embedded_reber().test_size is None
