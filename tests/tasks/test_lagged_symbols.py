"""Long lags: drawn sequences are of the published sets, and what is judged is what was published."""

import numpy as np
import pytest

from rnnlm_jax import tasks
from tests.tasks.reading import assert_uniform, draw, last_asked, symbols_of


def next_symbols(sequences):
    """The symbols asked, where targets have more beside them."""
    return sequences.targets if sequences.targets.ndim == 2 else sequences.targets[..., 0]


def test_noise_free_sequences_are_the_two_published_ones():
    sequences = draw(tasks.noise_free_lag(6), 1000, 6)
    wholes = np.concatenate([symbols_of(sequences)[:1], sequences.targets]).T
    kinds, counts = np.unique(wholes, axis=0, return_counts=True)
    assert kinds.tolist() == [[5, 0, 1, 2, 3, 4, 5], [6, 0, 1, 2, 3, 4, 6]]
    assert abs(counts - 500).max() < 5 * np.sqrt(250)
    np.testing.assert_array_equal(symbols_of(sequences)[1:], sequences.targets[:-1])
    assert sequences.mask.all()
    shorter = draw(tasks.noise_free_lag(6), 4, 3)
    assert shorter.targets[:2].T.tolist() == [[0, 1]] * 4


def test_distractors_without_regularities_are_uniform_and_only_the_last_symbol_is_judged():
    task = tasks.no_regularities(7)
    sequences = draw(task, 2000, 20)
    symbols, following = symbols_of(sequences), next_symbols(sequences)
    np.testing.assert_array_equal(symbols[1:], following[:-1])
    np.testing.assert_array_equal(symbols[0], following[-1])
    assert_uniform(symbols[0], 6, 8)
    assert_uniform(symbols[1:], 0, 6)
    assert sequences.mask.all()
    outputs = np.full((20, 2000, 8), -9, np.float32)
    outputs[-1, range(2000), following[-1]] = 9  # certain of the last, wrong before
    assert float(task.accuracy(outputs, sequences)) == 1
    outputs[-1, :500] *= -1
    assert float(task.accuracy(outputs, sequences)) == 0.75
    gradient = task.loss(outputs, sequences.targets)
    assert (np.asarray(gradient)[:-1] > 0.5).all()  # every next symbol is trained for


def test_very_long_lags_are_as_published():
    sequences = draw(tasks.very_long_lag(5), 4000, 8)
    symbols, ends = symbols_of(sequences), last_asked(sequences)
    assert sequences.inputs.shape == (8 + 100 + 3, 4000, 9)
    trigger, begin, x, y = 5, 6, 7, 8
    for b, end in enumerate(ends):
        assert symbols[0, b] == begin
        assert symbols[1, b] == (x, y)[sequences.targets[end, b]]
        assert (symbols[2:end, b] < 5).all()
        assert symbols[end, b] == trigger
        assert (symbols[end + 1 :, b] == -1).all()
    assert_uniform(symbols[1], 7, 9)
    assert_uniform(symbols[(symbols >= 0) & (symbols < 5)], 0, 5)
    suffixes = ends - 10  # b, x or y, and q distractors come before
    assert suffixes.min() == 0
    counts = np.bincount(suffixes, minlength=40)[:40]
    expected = 4000 * 0.1 * 0.9 ** np.arange(40)
    assert (abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()


def test_a_short_suffix_is_drawn_from_the_conditional_distribution():
    suffixes = last_asked(draw(tasks.very_long_lag(3, longest_suffix=2), 6000, 1)) - 3
    expected = np.array([1, 0.9, 0.81]) / 2.71
    np.testing.assert_allclose(np.bincount(suffixes) / 6000, expected, atol=5 * np.sqrt(0.25 / 6000))


def test_the_first_symbol_of_a_random_permutation_is_asked_at_the_end():
    sequences = draw(tasks.random_permutation(), 2000, 30)
    symbols = symbols_of(sequences)
    assert sequences.mask[-1].all()
    assert sequences.mask.sum() == 2000
    np.testing.assert_array_equal(sequences.targets[-1], symbols[0])
    assert_uniform(symbols[0], 0, 2)
    assert_uniform(symbols[1:], 2, 100)


@pytest.mark.parametrize(("make", "tolerance"), [(tasks.noise_free_lag, 0.25), (tasks.very_long_lag, 0.2)])
@pytest.mark.parametrize("loss", ["nats", "logistic"])
def test_all_outputs_must_be_within_the_published_tolerance(make, tolerance, loss):
    task = make(2, loss=loss)
    probabilities = np.full((2, task.output_size), 1e-6)
    probabilities[:, 0] = 1 - tolerance + np.array([0.01, -0.01])
    probabilities[:, 1] = 1 - probabilities[:, 0]
    outputs = np.log(probabilities if loss == "nats" else probabilities / (1 - probabilities)).astype(np.float32)
    assert task.correct(outputs[None], np.zeros((1, 2), np.int32)).tolist() == [[True, False]]
