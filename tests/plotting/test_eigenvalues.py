"""Eigenvalues in the complex plane: where they are, and how far they reach."""

import numpy as np
import pytest
from matplotlib.patches import Circle

from rnnlm_jax import UserError
from rnnlm_jax.plotting import draw_eigenvalues, eigenvalues
from tests.plotting.layout import assert_tidy
from tests.plotting.synthetic import measured, write

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def lstm(tmp_path):
    return measured(tmp_path / "lstm")


def points(axes):
    (line,) = [line for line in axes.lines if line.get_marker() == "."]
    return line


def test_points_circle_and_radius(lstm):
    lstm.arrays["step_eigenvalues"] = np.array([[0.5 + 0.5j, 0.5 - 0.5j], [-0.9, 0.1], [2j, -2j]])
    figure = draw_eigenvalues(lstm)
    (axes,) = figure.axes
    assert points(axes).get_xydata().tolist() == [[0.5, 0.5], [0.5, -0.5], [-0.9, 0], [0.1, 0], [0, 2], [0, -2]]
    assert 0 < points(axes).get_alpha() < 1
    (circle,) = axes.patches
    assert isinstance(circle, Circle) and (circle.center, circle.radius) == ((0, 0), 1)
    assert axes.get_aspect() == 1
    assert axes.get_title() == "lstm: 3 places\nspectral radius: median 0.9 (from 0.7071 to 2)"
    assert axes.get_ylim()[1] > 2 and axes.get_xlim() == axes.get_ylim()
    assert_tidy(figure)


def test_the_circle_is_seen_whole_around_small_eigenvalues(lstm):
    lstm.arrays["step_eigenvalues"] *= 1e-3
    (axes,) = draw_eigenvalues(lstm).axes
    assert axes.get_xlim()[0] < -1 and axes.get_xlim()[1] > 1


def test_no_number_breaks_it(lstm):
    lstm.arrays["step_eigenvalues"][:, 0] = np.nan
    figure = draw_eigenvalues(lstm)
    figure.draw_without_rendering()
    assert "median nan" in figure.axes[0].get_title()  # not the radius of the others
    assert len(points(figure.axes[0]).get_xdata()) == 16 * 39


def test_the_file(lstm, tmp_path):
    eigenvalues(write(lstm), tmp_path / "eigenvalues.png")
    assert (tmp_path / "eigenvalues.png").read_bytes().startswith(b"\x89PNG")
    del lstm.arrays["step_eigenvalues"]
    with pytest.raises(UserError, match="no eigenvalues in .*lstm"):
        eigenvalues(write(lstm), tmp_path / "none.png")
