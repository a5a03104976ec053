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


def test_the_circle_is_seen_whole_around_small_eigenvalues(lstm):
    lstm.arrays["step_eigenvalues"] *= 1e-3
    (axes,) = draw_eigenvalues(lstm).axes
    assert axes.get_xlim()[0] < -1 and axes.get_xlim()[1] > 1


def test_no_number_breaks_it(lstm):
    lstm.arrays["step_eigenvalues"][:, 0] = np.nan
    figure = draw_eigenvalues(lstm)
    figure.draw_without_rendering()
    assert "median nan" in figure.get_suptitle()  # not the radius of the others
    assert len(points(figure.axes[0]).get_xdata()) == 16 * 39


def test_the_file(lstm, tmp_path):
    eigenvalues(write(lstm), tmp_path / "eigenvalues.png")
    assert (tmp_path / "eigenvalues.png").read_bytes().startswith(b"\x89PNG")
    del lstm.arrays["step_eigenvalues"]
    with pytest.raises(UserError, match="no eigenvalues in .*lstm"):
        eigenvalues(write(lstm), tmp_path / "none.png")


def test_a_long_title_is_not_cut_off(lstm):
    long = lstm._replace(facts=lstm.facts | {"name": "a-run-of-" + 8 * "many-words-"})
    figure = draw_eigenvalues(long)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    assert 0 < points(figure.axes[0]).get_alpha() < 1
