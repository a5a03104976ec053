"""Adding and multiplication: marks, numbers and answers of drawn sequences, read one by one."""

import numpy as np
import pytest

from rnnlm_jax import tasks
from tests.tasks.reading import assert_uniform, draw, last_asked


def marked(values, markers, end, neutral):
    """The two numbers of one sequence of Hochreiter & Schmidhuber that count, and the places of the marks."""
    assert markers[0] == -1 == markers[end]
    assert set(markers[1:end]) <= {0.0, 1.0}
    places = np.flatnonzero(markers[: end + 1] == 1)
    assert len(places) in (1, 2)  # one is the first pair, whose marker stays
    return [values[place] for place in places] + [neutral] * (2 - len(places)), places


@pytest.mark.parametrize(
    ("name", "low", "neutral", "combine"),
    [
        ("adding", -1.0, 0.0, lambda one, other: 0.5 + (one + other) / 4),
        ("multiplication", 0.0, 1.0, lambda one, other: one * other),
    ],
)
def test_hochreiters_pairs_are_marked_as_published(name, low, neutral, combine):
    sequences = draw(tasks.make(name), 6000, 50)
    values, markers = np.moveaxis(sequences.inputs, -1, 0)
    ends = last_asked(sequences)
    assert_uniform(ends, 49, 55)
    first_marked, late = 0, []
    for b, end in enumerate(ends):
        numbers, places = marked(values[:, b], markers[:, b], end, neutral)
        assert sequences.targets[end, b, 0] == pytest.approx(combine(*numbers), abs=1e-6)
        assert not sequences.inputs[end + 1 :, b].any()
        assert min(places) < 10 or len(places) == 1
        assert max(places) < 25  # the first T/2 - 1 of the others
        first_marked += len(places) == 1
        late += [place for place in places if place >= 10]
    # the first mark falls on the first pair in 1 of 10, the second in 1 of T/2 - 1 of the others
    assert first_marked / 6000 == pytest.approx(0.1 + 0.9 / 24, abs=5 * np.sqrt(0.1375 / 6000))
    assert_uniform(late, 10, 25)
    inside = values[np.arange(len(values))[:, None] <= ends]
    assert low <= inside.min() < low + 0.01
    assert 0.99 < inside.max() <= 1
    assert inside.mean() == pytest.approx((low + 1) / 2, abs=0.01)


@pytest.mark.parametrize(
    ("name", "combine"),
    [
        ("pascanu-addition", lambda one, other: (one + other) / 2),
        ("pascanu-multiplication", lambda one, other: one * other),
    ],
)
def test_pascanus_pairs_are_marked_as_in_the_authors_code(name, combine):
    sequences = draw(tasks.make(name), 4000, 100)
    markers, values = np.moveaxis(sequences.inputs, -1, 0)
    ends = last_asked(sequences)
    assert_uniform(ends, 99, 109)
    assert sequences.inputs.shape[0] == 109
    places = []
    for b, end in enumerate(ends):
        first, second = np.flatnonzero(markers[:, b])
        tenth = (end + 1) // 10
        assert 0 <= first < tenth <= second < tenth + 4 * (end + 1) // 10
        assert set(markers[:, b]) == {0.0, 1.0}
        answer = combine(values[first, b], values[second, b])
        assert sequences.targets[end, b, 0] == pytest.approx(answer, abs=1e-6)
        assert not values[end + 1 :, b].any()
        places.append((first, second))
    first, second = np.transpose(places)[:, ends < 108]  # for all of these, a tenth is 10
    assert_uniform(first, 0, 10)
    assert_uniform(second[second < 50], 10, 50)


def test_the_adding_problem_marks_a_number_in_each_half():
    sequences = draw(tasks.adding_problem(), 3000, 31)
    values, markers = np.moveaxis(sequences.inputs, -1, 0)
    assert sequences.mask[-1].all()
    assert sequences.mask.sum() == 3000
    first, second = np.array([np.flatnonzero(column) for column in markers.T]).T
    assert_uniform(first, 0, 15)
    assert_uniform(second, 15, 31)
    answers = values[first, range(3000)] + values[second, range(3000)]
    np.testing.assert_allclose(sequences.targets[-1, :, 0], answers, rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "target", "tolerance"),
    [
        (tasks.adding(), 0.5, 0.04),
        (tasks.multiplication(), 0.25, 0.04),
        (tasks.pascanu_addition(), 0.5, 0.2),
        (tasks.pascanu_multiplication(), 0.3, 0.2),
        (tasks.adding_problem(), 1.2, 0.1),
    ],
)
def test_an_answer_is_right_within_its_tolerance(task, target, tolerance):
    errors = np.array([0.0, 0.98, -0.98, 1.02, -1.02, np.nan]) * tolerance
    outputs = (target + errors)[None, :, None].astype(np.float32)
    targets = np.full((1, 6, 1), target, np.float32)
    assert task.correct(outputs, targets).tolist() == [[True, True, True, False, False, False]]
    np.testing.assert_allclose(task.loss(outputs, targets)[0, :5], errors[:5] ** 2, rtol=1e-4, atol=1e-9)


def test_logistic_outputs_are_read_through_the_logistic_function():
    task = tasks.adding("logistic")
    outputs = np.log([[[0.53 / 0.47], [0.55 / 0.45]]]).astype(np.float32)
    targets = np.full((1, 2, 1), 0.5, np.float32)
    assert task.correct(outputs, targets).tolist() == [[True, False]]
    np.testing.assert_allclose(task.loss(outputs, targets), [[0.03**2 / 2, 0.05**2 / 2]], rtol=1e-4)
