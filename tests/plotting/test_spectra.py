"""Spectra: medians over sequences, with the Lyapunov exponents, and -inf counted."""

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting import draw_spectra, spectra
from tests.plotting.layout import assert_tidy, curves, legend_texts
from tests.plotting.synthetic import SPECTRUM_LAGS, measured, write

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def lstm(tmp_path):
    return measured(tmp_path / "lstm")


@pytest.fixture
def elman(tmp_path):
    """All values are finite and trusted."""
    return measured(tmp_path / "elman", "elman")


def medians_of(axes):
    """The thick solid lines."""
    return [line for line in curves(axes) if line.get_linewidth() == 1.5 and line.get_linestyle() == "-"]


def test_the_lines_are_medians(elman):
    figure = draw_spectra(elman)
    rates, raw, bar = figure.axes
    medians = np.median(elman.arrays["log_singular_values"], axis=0)
    for panel, scale in ((rates, SPECTRUM_LAGS), (raw, np.ones(len(SPECTRUM_LAGS)))):
        for line, median, divisor in zip(medians_of(panel), medians, scale, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 41))
            np.testing.assert_allclose(line.get_ydata(), median / divisor, rtol=1e-14)
    assert [text.get_text() for text in bar.get_yticklabels()] == [str(lag) for lag in SPECTRUM_LAGS]
    colours = [line.get_color() for line in medians_of(raw)]
    assert len(set(colours)) == len(SPECTRUM_LAGS) and colours == [line.get_color() for line in medians_of(rates)]


def test_few_sequences_are_shown_one_by_one_and_many_are_not(tmp_path):
    for sequences, singles in ((1, 0), (4, 4), (9, 0)):
        figure = draw_spectra(measured(tmp_path / "gru", "gru", sequences=sequences))
        thin = [line for line in curves(figure.axes[1]) if line.get_linewidth() == 0.5]
        assert len(thin) == singles * len(SPECTRUM_LAGS)
        assert ("single sequences" in legend_texts(figure)) == bool(singles)


def test_lag_zero_has_no_exponents(elman):
    elman.arrays["spectrum_lag"] = np.array([0, *SPECTRUM_LAGS[1:]])
    rates, raw, _ = draw_spectra(elman).axes
    assert (len(medians_of(rates)), len(medians_of(raw))) == (6, 7)


def test_lyapunov_exponents_have_error_bars(elman):
    exponents, errors = np.linspace(0.01, -0.5, 5), np.array([0.01, 0.02, 0.03, 0.04, np.nan])
    elman.arrays.update(lyapunov_exponents=exponents, lyapunov_standard_errors=errors)
    (bars,) = draw_spectra(elman).axes[0].containers
    points, _, (segments,) = bars
    np.testing.assert_array_equal(points.get_xydata(), np.stack([np.arange(1, 6), exponents], axis=1))
    ends = np.array([segment[:, 1] for segment in segments.get_segments()[:4]])
    np.testing.assert_allclose(ends, np.stack([exponents - errors, exponents + errors], axis=1)[:4], rtol=1e-14)


def test_many_exponents_are_thinned_and_missing_ones_are_left_out(elman):
    figure = draw_spectra(elman)  # 40 of them
    (bars,) = figure.axes[0].containers
    index = bars[0].get_xdata()
    assert (index[0], index[-1]) == (1, 40) and len(index) == len(set(index)) <= 16
    np.testing.assert_array_equal(bars[0].get_ydata(), elman.arrays["lyapunov_exponents"][index - 1])
    assert f"Lyapunov exponents ({len(index)} of 40) ± s.e." in legend_texts(figure)
    del elman.arrays["lyapunov_exponents"]
    figure = draw_spectra(elman)
    assert figure.axes[0].containers == [] and not any("Lyapunov" in text for text in legend_texts(figure))


def test_values_that_are_not_trusted_are_dotted(lstm):
    figure = draw_spectra(lstm)
    (dotted,) = [line for line in curves(figure.axes[1]) if line.is_dashed()]
    np.testing.assert_array_equal(dotted.get_xdata(), np.arange(20, 41))  # from the last trusted value on
    (solid,) = [line for line in medians_of(figure.axes[1]) if line.get_color() == dotted.get_color()]
    np.testing.assert_array_equal(solid.get_xdata(), np.arange(1, 21))
    assert "not vouched for" in legend_texts(figure)


def test_infinities_are_left_out_and_counted(lstm):
    figure = draw_spectra(lstm)
    raw = figure.axes[1]
    assert all(not np.isinf(line.get_ydata()).any() for line in raw.lines)
    assert (
        np.isnan(medians_of(raw)[5].get_ydata()[30:]).all() and np.isfinite(medians_of(raw)[5].get_ydata()[:30]).all()
    )
    assert raw.texts[0].get_text() == "$\\ell$ = 50: 10 of 40 are −∞\n$\\ell$ = 100: 10 of 40 are −∞"


@pytest.mark.parametrize(
    ("zeros", "note"),
    [
        ([0] * 7, ""),
        ([5] * 7, "5 of 40 are −∞"),
        ([0, 1, 2, 3, 4, 5, 6], "1 to 6 of 40 are −∞ ($\\ell$ = 2 to 100)"),
    ],
)
def test_notes_on_infinities(elman, zeros, note):
    for s, count in enumerate(zeros):
        elman.arrays["log_singular_values"][:, s, 40 - count :] = -np.inf
    assert draw_spectra(elman).axes[1].texts[0].get_text() == note


@pytest.mark.parametrize("kind", ["elman", "lstm"])
def test_the_parts_of_the_figure_do_not_overlap(tmp_path, kind):
    figure = draw_spectra(measured(tmp_path / kind, kind))
    assert_tidy(figure)
    assert len(figure.legends) == 1


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_infinite_and_nan_values_can_be_drawn(lstm, value):
    for name in ("log_singular_values", "lyapunov_exponents", "lyapunov_standard_errors"):
        lstm.arrays[name] = np.full_like(lstm.arrays[name], value)
    figure = draw_spectra(lstm)
    figure.draw_without_rendering()
    assert figure.axes[1].texts[0].get_text() == ("40 of 40 are −∞" if value == -np.inf else "")


def test_the_axis_names_the_size_of_a_large_state(elman):
    elman.facts["state_size"] = 2600
    assert [axes.get_xlabel() for axes in draw_spectra(elman).axes[:2]] == ["index $k$, of 2600"] * 2
    elman.facts["state_size"] = 40
    assert draw_spectra(elman).axes[0].get_xlabel() == "index $k$"


def test_a_single_value_is_drawn_as_a_dot(tmp_path):
    raw = draw_spectra(measured(tmp_path / "gru", "gru", n=1, sequences=1)).axes[1]
    assert [line.get_marker() for line in raw.lines if len(line.get_xdata()) == 1] == ["o"] * 7


def test_a_png_is_written_and_missing_spectra_are_an_error(lstm, tmp_path):
    spectra(write(lstm), tmp_path / "spectra.png")
    assert (tmp_path / "spectra.png").read_bytes().startswith(b"\x89PNG")
    del lstm.arrays["log_singular_values"]
    with pytest.raises(DataError, match="lstm has no singular values"):
        spectra(write(lstm), tmp_path / "none.png")


def test_exponents_near_zero_have_room_besides_very_negative_ones(elman):
    """On a linear axis from 0 to -16 the exponents near zero would be one line."""
    assert draw_spectra(elman).axes[0].get_yscale() == "linear"
    elman.arrays["log_singular_values"][:, :, -5:] = -16.0 * elman.arrays["spectrum_lag"][None, :, None]
    figure = draw_spectra(elman)
    rates = figure.axes[0]
    figure.draw_without_rendering()
    zero, tenth, least = rates.transData.transform([[1, 0], [1, -0.1], [1, -16]])[:, 1]
    assert (zero - tenth) > 0.2 * (zero - least)
    assert rates.get_ylim()[0] <= -16
    assert_tidy(figure)
