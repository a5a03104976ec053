"""MNIST-1D: the package's own examples, drawn for training and for tests."""

import random
import sys

import jax
import numpy as np
import pytest

from rnnlm_jax import tasks
from rnnlm_jax.errors import DataError
from rnnlm_jax.tasks.mnist1d import load
from tests.tasks.reading import draw, last_asked

package = pytest.importorskip("mnist1d.data")


@pytest.fixture(scope="module")
def made():
    """The data set as the package makes it; its generators are seeded by that."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield package.make_dataset(package.get_dataset_args())
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002


def rows_of(sequences, examples):
    """Which example each sequence is."""
    drawn = sequences.inputs[..., 0].T
    return [int(np.flatnonzero((examples.astype(np.float32) == row).all(axis=1))[0]) for row in drawn]


def test_training_draws_examples_of_training(made):
    sequences = draw(tasks.mnist1d(), 500, 40)
    rows = rows_of(sequences, made["x"])
    assert (last_asked(sequences) == 39).all()
    np.testing.assert_array_equal(sequences.targets[-1], made["y"][rows])
    assert len(made["x"]) == 4000
    assert 430 < len(set(rows)) < 500  # drawn with replacement: 470 are expected


def test_tests_go_through_all_others(made):
    tests = jax.tree.map(np.asarray, tasks.mnist1d().draw_test(jax.random.key(0), 1500, 40))
    rows = rows_of(tests, made["x_test"])
    assert sorted(rows[:1000]) == list(range(1000))
    assert rows[1000:] == rows[:500]
    assert rows != sorted(rows)
    assert tasks.mnist1d().test_size == 1000
    np.testing.assert_array_equal(tests.targets[-1], made["y_test"][rows])


def test_global_generators_are_left_as_they_were():
    load.cache_clear()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    load()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mnist1d", None)
    load.cache_clear()
    with pytest.raises(DataError, match=r"pip install 'rnnlm_jax\[tasks\]'") as raised:
        load()
    assert "\n" not in str(raised.value)
