"""Memorization: drawn sequences and what is asked of them, step by step."""

import numpy as np
import pytest

from rnnlm_jax import tasks
from tests.tasks.reading import assert_uniform, draw, symbols_of


@pytest.mark.parametrize(("values", "positions"), [(2, 5), (5, 10)])
def test_noiseless_memorization_is_that_of_the_authors_code(values, positions):
    sequences = draw(tasks.noiseless_memorization(values, positions), 500, 12)
    symbols, blank, signal = symbols_of(sequences), values, values + 1
    assert len(symbols) == 12 + 2 * positions
    assert_uniform(symbols[:positions], 0, values)
    for shown, asked in zip(symbols.T, sequences.targets.T, strict=True):
        pattern = shown[:positions].tolist()
        assert shown.tolist() == pattern + [blank] * 12 + [signal] + [blank] * (positions - 1)
        assert asked.tolist() == [blank] * (12 + positions) + pattern
    assert sequences.mask.all()


def test_copy_memory_recalls_after_the_signal():
    sequences = draw(tasks.copy_memory(), 500, 15)
    symbols = symbols_of(sequences)
    assert_uniform(symbols[:10], 0, 8)
    for shown, asked in zip(symbols.T, sequences.targets.T, strict=True):
        pattern = shown[:10].tolist()
        assert shown.tolist() == pattern + [8] * 14 + [9] + [8] * 10
        assert asked.tolist() == [8] * 25 + pattern
    assert sequences.mask.all()
    assert tasks.copy_memory().chance_loss(100) == pytest.approx(10 * np.log(8) / 120)


def test_shorter_sequences_recall_earlier():
    task = tasks.noiseless_memorization(3, 2, shortest=4)
    sequences = draw(task, 400, 9)
    symbols, ends = symbols_of(sequences), sequences.mask.sum(axis=0)
    for shown, asked, end in zip(symbols.T, sequences.targets.T, ends, strict=True):
        pattern, length = shown[:2].tolist(), end - 4
        assert shown[:end].tolist() == pattern + [3] * length + [4, 3]
        assert (shown[end:] == -1).all()
        assert asked[:end].tolist() == [3] * (length + 2) + pattern
    assert_uniform(ends - 4, 4, 10)
    outputs = np.where(np.eye(4)[sequences.targets] == 1, 30.0, -30.0).astype(np.float32)
    outputs[symbols == 4] = 0  # knows when, not what: uniform among the three values
    outputs[symbols == 4, 3] = -30
    after = np.roll(symbols == 4, 1, axis=0)
    outputs[after] = outputs[symbols == 4][0]
    assert float(task.mean_loss(outputs, sequences)) == pytest.approx(task.chance_loss(9), rel=0.02)


def test_a_sequence_counts_if_all_its_answers_are_right():
    task = tasks.noiseless_memorization()
    sequences = draw(task, 4, 6)
    outputs = np.eye(3, dtype=np.float32)[sequences.targets]
    outputs[0, 0] = [1, 0, 0]  # wrong where a blank is asked
    assert float(task.accuracy(outputs, sequences)) == 0.75
