"""What tests of tasks read off drawn sequences, and bounds on counts."""

import math

import jax
import numpy as np


def draw(task, batch_size, length, seed=3):
    """Sequences of a task as NumPy arrays."""
    drawn = jax.jit(lambda key: task.sample(key, batch_size, length))(jax.random.key(seed))
    return type(drawn)(*map(np.asarray, drawn))


def symbols_of(sequences):
    """The symbols ``[T, B]`` of one-hot inputs, -1 where all inputs are zero."""
    assert set(np.unique(sequences.inputs)) <= {0.0, 1.0}
    fed = sequences.inputs.sum(axis=-1)
    assert set(np.unique(fed)) <= {0.0, 1.0}
    return np.where(fed == 1, sequences.inputs.argmax(axis=-1), -1)


def last_asked(sequences):
    """The step at which each sequence is asked, once."""
    assert (sequences.mask.sum(axis=0) == 1).all()
    return sequences.mask.argmax(axis=0)


def assert_uniform(values, low, high):
    """Assert that whole numbers are uniform from ``low`` up to but not including ``high``."""
    values = np.asarray(values).ravel()
    assert low <= values.min() <= values.max() < high
    expected = values.size / (high - low)
    counts = np.bincount(values - low, minlength=high - low)
    assert abs(counts - expected).max() < 5 * math.sqrt(expected)
