"""Eigenvalues in the complex plane: points, unit circle, spectral radius."""

import numpy as np
import pytest
from matplotlib.patches import Circle

from rnnlm_jax.errors import DataError
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


def test_the_figure_shows_points_the_unit_circle_and_the_radius(lstm):
    values = np.array([[0.5 + 0.5j, 0.5 - 0.5j], [-0.9, 0.1], [2j, -2j]])
    lstm.arrays["step_eigenvalues"] = values
    figure = draw_eigenvalues(lstm)
    (axes,) = figure.axes
    places = [line for line in axes.lines if line.get_label().startswith("place")]
    assert [line.get_xydata().tolist() for line in places] == [[[v.real, v.imag] for v in row] for row in values]
    assert len({line.get_color() for line in places}) == len({line.get_marker() for line in places}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["place 1", "place 2", "place 3"]
    (circle,) = axes.patches
    assert isinstance(circle, Circle) and (circle.center, circle.radius) == ((0, 0), 1)
    assert axes.get_aspect() == 1
    assert figure.get_suptitle() == "lstm: 3 places\nspectral radius: median 0.9\n(from 0.7071 to 2)"
    assert axes.get_ylim()[1] > 2 and axes.get_xlim() == axes.get_ylim()
    assert_tidy(figure)


def test_the_whole_circle_is_visible_around_small_eigenvalues(lstm):
    lstm.arrays["step_eigenvalues"] *= 1e-3
    (axes,) = draw_eigenvalues(lstm).axes
    assert axes.get_xlim()[0] < -1 and axes.get_xlim()[1] > 1


def test_nan_can_be_drawn_and_makes_the_radius_nan(lstm):
    lstm.arrays["step_eigenvalues"][:, 0] = np.nan
    figure = draw_eigenvalues(lstm)
    figure.draw_without_rendering()
    assert "median nan" in figure.get_suptitle()
    assert len(points(figure.axes[0]).get_xdata()) == 16 * 39


def test_a_png_is_written_and_missing_eigenvalues_are_an_error(lstm, tmp_path):
    eigenvalues(write(lstm), tmp_path / "eigenvalues.png")
    assert (tmp_path / "eigenvalues.png").read_bytes().startswith(b"\x89PNG")
    del lstm.arrays["step_eigenvalues"]
    with pytest.raises(DataError, match="lstm has no eigenvalues"):
        eigenvalues(write(lstm), tmp_path / "none.png")


def test_a_long_title_fits(lstm):
    long = lstm._replace(facts=lstm.facts | {"name": "a-run-of-" + 8 * "many-words-"})
    figure = draw_eigenvalues(long)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    assert 0 < points(figure.axes[0]).get_alpha() < 1
