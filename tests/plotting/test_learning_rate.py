"""The figure of a schedule: its curve, scale, epochs and warm-up."""

import math

import numpy as np
import pytest

from rnnlm_jax.errors import ArgumentError
from rnnlm_jax.plotting import draw_learning_rate_schedule, learning_rate_schedule
from tests.plotting.layout import assert_tidy, curves, legend_texts

STEPS = np.arange(200)
COSINE = 0.002 * np.where(STEPS < 20, STEPS / 20, 0.5 * (1 + np.cos(math.pi * (STEPS - 20) / 180)))


def epoch_lines(axes):
    """The steps at which a vertical line is drawn."""
    return [int(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 2]


def test_the_rate_of_every_step_is_drawn_with_epochs_and_warm_up():
    figure = draw_learning_rate_schedule(COSINE, epoch_starts=[0, 80, 160, 240], warmup_steps=20, note="cosine")
    (axes,) = figure.axes
    (curve,) = curves(axes)
    np.testing.assert_array_equal(curve.get_xdata(), STEPS)
    np.testing.assert_array_equal(curve.get_ydata(), COSINE)
    assert epoch_lines(axes) == [80, 160]
    (shaded,) = axes.patches
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == (0, 20)
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == (
        "training step",
        "learning rate",
        "cosine",
    )
    assert legend_texts(figure) == ["learning rate", "epoch", "warm-up, 20 steps"]
    assert axes.get_ylim()[0] == 0
    assert_tidy(figure)


@pytest.mark.parametrize(
    ("rates", "warmup", "scale"),
    [
        (1.0 / 1.2 ** np.arange(10), 0, "linear"),
        (1.0 / 1.2 ** np.arange(40), 0, "log"),
        (np.concatenate([np.arange(100) / 100, np.ones(50)]), 100, "linear"),  # the warm-up does not count
        (np.zeros(5), 0, "linear"),
        (np.array([0.1]), 0, "linear"),
    ],
)
def test_the_axis_is_logarithmic_if_the_rate_spans_much(rates, warmup, scale):
    (axes,) = draw_learning_rate_schedule(rates, warmup_steps=warmup).axes
    assert axes.get_yscale() == scale


@pytest.mark.parametrize(("epochs", "shown"), [(21, 20), (55, 10), (300, 14)])
def test_many_epochs_have_few_lines(epochs, shown):
    steps = [0, 1000 * epochs]
    (axes,) = draw_learning_rate_schedule([1, 1], steps=steps, epoch_starts=range(0, 1000 * epochs, 1000)).axes
    curve, *lines = axes.lines
    assert curve.get_xdata().tolist() == steps
    assert len(lines) == shown


def test_a_file_is_written(tmp_path):
    learning_rate_schedule(COSINE, tmp_path / "schedule.svg", warmup_steps=20)
    assert (tmp_path / "schedule.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("rates", "steps", "message"),
    [
        ([], None, "`rates` must be at least one"),
        ([1, -1], None, "none of them negative"),
        ([1, math.nan], None, "or not finite"),
        ([1, 2], [0], "`steps` must be 2 ascending numbers"),
        ([1, 2], [1, 1], "`steps` must be 2 ascending numbers"),
    ],
)
def test_impossible_rates_are_refused(rates, steps, message):
    with pytest.raises(ArgumentError, match=message):
        draw_learning_rate_schedule(rates, steps=steps)
