"""The flip-flop: pulses, and the signs that are kept."""

import numpy as np
import pytest

from rnnlm_jax import tasks
from tests.tasks.reading import draw


@pytest.mark.parametrize(("channels", "pulses"), [(3, 0.2), (2, 0.05), (1, 1.0)])
def test_the_sign_of_the_last_pulse_is_kept(channels, pulses):
    sequences = draw(tasks.flip_flop(channels, pulses), 200, 60)
    assert set(np.unique(sequences.inputs)) <= {-1.0, 0.0, 1.0}
    kept = np.zeros((200, channels))
    for fed, asked in zip(sequences.inputs, sequences.targets, strict=True):
        kept = np.where(fed == 0, kept, fed)
        np.testing.assert_array_equal(asked, kept)
    assert sequences.inputs[0].all()
    later = sequences.inputs[1:]
    assert (later != 0).mean() == pytest.approx(pulses, abs=5 * np.sqrt(pulses / later.size))
    assert later.sum() / later.size == pytest.approx(0, abs=5 * np.sqrt(pulses / later.size))
    assert sequences.mask.all()


def test_all_channels_must_be_right():
    task = tasks.flip_flop()
    targets = np.array([[[1, -1, 1], [1, -1, 1]]], np.float32)
    outputs = np.array([[[0.6, -1.4, 1], [0.6, -1.6, 1]]], np.float32)
    assert task.correct(outputs, targets).tolist() == [[True, False]]
    np.testing.assert_allclose(task.loss(outputs, targets), [[0.32, 0.52]], rtol=1e-5)
