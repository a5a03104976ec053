"""Decay curves: lines are means, bands quantiles, marks horizons; limits and labels fit the data."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting import decay_curves, draw_decay_curves
from tests.plotting.layout import assert_tidy, curves, legend_texts, marks
from tests.plotting.synthetic import mean_ratio, measured, write

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def lstm(tmp_path):
    return measured(tmp_path / "lstm")


@pytest.fixture
def elman(tmp_path):
    return measured(tmp_path / "elman", "elman")


def test_the_lines_are_mean_ratios(lstm):
    (axes,) = draw_decay_curves(lstm).axes
    lines = curves(axes)
    for part, line in zip(("hidden", "cell", "inputs", "carousel"), lines, strict=True):
        expected = mean_ratio(lstm.arrays[f"log_norm_{part}"])
        np.testing.assert_array_equal(line.get_xdata(), lstm.arrays["lag"])
        expected = np.where(expected > 0, expected, np.nan)  # lag 0 of the cell
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12, err_msg=part)
        assert line.get_linestyle() == ("--" if part == "carousel" else "-")
    assert np.isnan(lines[2].get_ydata()[-1])  # inputs have one lag less
    assert len({to_hex(line.get_color()) for line in lines}) == 4
    assert axes.get_yscale() == "log" and axes.get_xscale() == "linear"


def test_the_inputs_may_have_one_lag_less(lstm):
    lstm.arrays["log_norm_inputs"] = lstm.arrays["log_norm_inputs"][:, :-1]
    (axes,) = draw_decay_curves(lstm).axes
    assert len(curves(axes)[2].get_xdata()) == len(lstm.arrays["lag"]) - 1


def test_bands_are_of_single_positions(lstm):
    (axes,) = draw_decay_curves(lstm).axes
    norms = np.exp(lstm.arrays["log_norm_cell"])
    ratios = norms / norms[:, 1].mean()
    corners = axes.collections[1].get_paths()[0].vertices
    at = corners[corners[:, 0] == 50, 1]
    inside = (at.min() <= ratios[:, 50]) & (ratios[:, 50] <= at.max())
    assert 0.78 <= inside.mean() <= 0.83
    assert corners[:, 0].min() == 1  # where the cell's begins
    assert len(axes.collections) == 3  # none for the direct path


def test_bounds_are_dotted_and_grey(elman):
    figure = draw_decay_curves(elman)
    sigma, rho = curves(figure.axes[0])[-2:]
    np.testing.assert_allclose(sigma.get_ydata(), 1.3 ** elman.arrays["lag"], rtol=1e-12)
    np.testing.assert_allclose(rho.get_ydata(), 0.9 ** elman.arrays["lag"], rtol=1e-12)
    for line in (sigma, rho):
        assert line.is_dashed() and len(set(to_hex(line.get_color())[1::2])) == 1
    assert [text for text in legend_texts(figure) if "W_h" in text] == [
        r"$(\gamma\,\sigma_{\max}(W_h))^\ell = 1.3^\ell$, above the axis from lag 6",
        r"$\rho(W_h)^\ell = 0.9^\ell$",
    ]


def test_horizons_are_marked_on_the_curves_and_named_in_the_legend(lstm):
    lstm.facts["horizons"] = {"hidden": {"1/e": 3, "1%": 30}, "cell": {"1/e": 8, "1%": None}}
    figure = draw_decay_curves(lstm)
    hidden, cell = (mean_ratio(lstm.arrays[f"log_norm_{part}"]) for part in ("hidden", "cell"))
    found = marks(figure.axes[0])
    assert [(x, marker) for x, _, marker in found] == [(3, "o"), (30, "s"), (8, "o")]
    np.testing.assert_allclose([y for _, y, _ in found], [hidden[3], hidden[30], cell[8]], rtol=1e-12)
    texts = {text.split()[0]: text for text in legend_texts(figure)}
    assert texts["hidden"].endswith("$: 1/e at 3, 1 % at 30")
    assert texts["cell"].endswith("$ (from lag 1): 1/e at 8, 1 % beyond 120")
    levels = {line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2}
    assert levels == {np.exp(-1), 0.01}


@pytest.mark.parametrize("kind", ["elman", "lstm"])
def test_the_parts_of_the_figure_do_not_overlap(tmp_path, kind):
    assert_tidy(draw_decay_curves(measured(tmp_path / kind, kind)))


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_infinite_and_nan_norms_can_be_drawn(lstm, value):
    for name in list(lstm.arrays):
        if name.startswith("log_"):
            lstm.arrays[name] = np.full_like(lstm.arrays[name], value)
    figure = draw_decay_curves(lstm)
    figure.draw_without_rendering()
    assert all(np.isnan(line.get_ydata()).all() for line in curves(figure.axes[0]))


@pytest.mark.parametrize(("rate", "limits"), [(-3.0, (1e-12, 2)), (3.0, (3e-3, 1e12)), (-1e-9, (3e-3, 2))])
def test_the_y_axis_fits_the_curves_within_its_bounds(lstm, rate, limits):
    lag = lstm.arrays["lag"]
    figure = draw_decay_curves(lstm._replace(arrays={"lag": lag, "log_norm_hidden": np.full((5, 1), rate) * lag}))
    np.testing.assert_allclose(figure.axes[0].get_ylim(), limits, rtol=1e-6)


def test_missing_norms_are_an_error(lstm, tmp_path):
    kept = {name: array for name, array in lstm.arrays.items() if not name.startswith("log_norm")}
    folder = write(lstm._replace(arrays=kept))
    with pytest.raises(DataError, match="lstm has no norms by lag"):
        decay_curves(folder, tmp_path / "decay.png")
    assert not (tmp_path / "decay.png").exists()


def test_a_pdf_is_written(lstm, tmp_path):
    decay_curves(write(lstm), tmp_path / "decay.pdf")
    assert (tmp_path / "decay.pdf").read_bytes().startswith(b"%PDF")


def test_empty_lags_are_left_out_and_bounds_that_leave_the_axes_are_named(elman):
    lag = elman.arrays["lag"]
    arrays = {"lag": lag, "log_norm_hidden": -0.6 * lag[None] * np.ones((5, 1)), "log_bound_sigma": lag * np.log(17.0)}
    figure = draw_decay_curves(elman._replace(arrays=arrays))
    (axes,) = figure.axes
    assert 46 < axes.get_xlim()[1] < 52  # the last norm above 1e-12 is at lag 46
    assert axes.get_xlabel().endswith("from there to 120 all curves are below")
    assert legend_texts(figure)[-1].endswith("= 17^\\ell$, above the axis from lag 1")
    assert_tidy(figure)
