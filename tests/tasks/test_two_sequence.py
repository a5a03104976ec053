"""The two-sequence problem: signal, noise and targets of drawn sequences."""

import numpy as np
import pytest

from rnnlm_jax import tasks
from tests.tasks.reading import assert_uniform, draw, last_asked


@pytest.mark.parametrize("experiment", ["3a", "3b", "3c"])
@pytest.mark.parametrize("informative", [1, 3])
def test_signal_noise_and_targets_are_as_published(experiment, informative):
    sequences = draw(tasks.two_sequence(experiment, informative), 4000, 40)
    line, ends = sequences.inputs[..., 0], last_asked(sequences)
    target, clean = sequences.targets[ends, range(4000)].T
    assert_uniform(ends, 39, 44)
    is_first = clean == (0.2 if experiment == "3c" else 1.0)
    assert set(np.unique(clean)) == ({np.float32(0.2), np.float32(0.8)} if experiment == "3c" else {0.0, 1.0})
    assert is_first.mean() == pytest.approx(0.5, abs=5 / np.sqrt(4 * 4000))
    residual = line[:informative] - np.where(is_first, 1, -1)
    if experiment == "3b":
        assert residual.std() == pytest.approx(np.sqrt(0.2), rel=0.06)
        assert residual.mean() == pytest.approx(0, abs=5 * np.sqrt(0.2 / residual.size))
    else:
        assert not residual.any()
    later = np.concatenate([line[informative : end + 1, b] for b, end in enumerate(ends)])
    assert later.std() == pytest.approx(np.sqrt(0.2), rel=0.02)
    assert later.mean() == pytest.approx(0, abs=5 * np.sqrt(0.2 / later.size))
    assert not line[np.arange(len(line))[:, None] > ends].any()
    if experiment == "3c":
        assert (target - clean).std() == pytest.approx(np.sqrt(0.1), rel=0.06)
        assert np.corrcoef(target - clean, is_first)[0, 1] == pytest.approx(0, abs=5 / np.sqrt(4000))
    else:
        np.testing.assert_array_equal(target, clean)


def test_training_reads_the_noisy_target_and_the_criterion_the_clean_one():
    task = tasks.two_sequence("3c", loss="logistic")
    outputs = np.log([[[0.25 / 0.75], [0.35 / 0.65]]]).astype(np.float32)
    targets = np.array([[[0.9, 0.2], [0.3, 0.2]]], np.float32)
    assert task.correct(outputs, targets).tolist() == [[True, False]]
    np.testing.assert_allclose(task.loss(outputs, targets), [[0.65**2 / 2, 0.05**2 / 2]], rtol=1e-4)


@pytest.mark.parametrize("loss", ["nats", "logistic"])
def test_the_mean_target_has_the_least_loss(loss):
    """Also in nats of targets that are not in [0, 1]."""
    task = tasks.two_sequence("3c", loss=loss)
    noise = 0.8 + np.sqrt(0.1) * np.random.default_rng(0).standard_normal(1000)
    targets = np.stack([noise - noise.mean() + 0.8, np.full(1000, 0.8)], axis=-1)[None].astype(np.float32)
    probabilities = np.array([0.76, 0.78, 0.8, 0.82, 0.84])
    losses = [
        float(task.loss(np.full((1, 1000, 1), np.log(p / (1 - p)), np.float32), targets).mean()) for p in probabilities
    ]
    assert np.argmin(losses) == 2
