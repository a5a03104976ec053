"""The figure of accuracy by distance: a line with intervals for each model, and chance."""

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting import draw_pair_accuracy, pair_accuracy
from tests.plotting.layout import assert_tidy, curves, legend_texts


def model(name, accuracies, distance="words before the first difference"):
    bins = [
        {"first": k, "last": k, "mean": k + 0.5, "accuracy": a, "interval": [a - 0.05, min(a + 0.05, 1)], "pairs": 30}
        for k, a in enumerate(accuracies, 1)
    ]
    return {"model": name, "distance": distance, "distance_bins": bins}


def test_each_model_has_a_line_of_its_accuracies():
    figure = draw_pair_accuracy([model("lstm", [0.9, 0.8, 0.7]), model("kn5", [0.8, 0.6, 0.5])])
    (axes,) = figure.axes
    lines = curves(axes)
    np.testing.assert_allclose(lines[0].get_xdata(), [1.5, 2.5, 3.5])
    np.testing.assert_allclose([line.get_ydata() for line in lines], [[0.9, 0.8, 0.7], [0.8, 0.6, 0.5]])
    assert lines[0].get_color() != lines[1].get_color()
    bars = [segment for each in axes.collections for segment in each.get_segments()]
    assert sorted(float(round(bar[0][1], 3)) for bar in bars) == [0.45, 0.55, 0.65, 0.75, 0.75, 0.85]
    assert legend_texts(figure) == ["lstm", "kn5", "chance"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("words before the first difference", "accuracy")
    assert axes.get_ylim()[0] == 0.4
    assert_tidy(figure)


def test_an_accuracy_below_the_axis_extends_it():
    (axes,) = draw_pair_accuracy([model("elman", [0.9, 0.3])]).axes
    assert axes.get_ylim()[0] == 0


def test_distances_of_two_meanings_are_refused(tmp_path):
    with pytest.raises(DataError, match="distances of 2 meanings"):
        pair_accuracy([model("a", [0.5]), model("b", [0.5], "other")], tmp_path / "figure.png")
    pair_accuracy([model("a", [0.5])], tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
