"""Horizons of several runs: the data of the curves, marks at the horizons, colours, axes, units and legends."""

import numpy as np
import pytest

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting import draw_horizons, horizons
from rnnlm_jax.plotting.style import sequential_colours
from tests.plotting.layout import assert_tidy, curves, legend_texts, marks
from tests.plotting.synthetic import mean_ratio, measured, write

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def runs(tmp_path):
    return [measured(tmp_path / kind, kind, seed) for seed, kind in enumerate(("elman", "gru", "lstm"))]


def without(run, *names):
    """A run whose arrays of these names were not measured."""
    return run._replace(arrays={name: array for name, array in run.arrays.items() if name not in names})


def excess_perplexity(run):
    """The relative excess of perplexity with each context over the full context."""
    return np.exp(run.arrays["context_nats"] - run.arrays["full_nats"]) - 1


def test_the_left_panel_shows_the_mean_norms_by_lag(runs):
    norms = draw_horizons(runs).axes[0]
    for run, line in zip(runs, curves(norms), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), run.arrays["lag"])
        np.testing.assert_allclose(line.get_ydata(), mean_ratio(run.arrays["log_norm_inputs"]), rtol=1e-12)
    assert (norms.get_xscale(), norms.get_yscale()) == ("linear", "log")
    assert norms.get_xlim() == (0, runs[0].arrays["lag"][-1])
    assert norms.get_xlabel() == r"lag $\ell$ (steps)"
    assert norms.get_ylabel() == r"mean $\|\partial J_i/\partial x_{i-\ell}\|$, relative to lag 0"


def test_the_right_panel_shows_the_excess_perplexity_by_context(runs):
    context = draw_horizons(runs).axes[1]
    for run, line in zip(runs, curves(context), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), run.arrays["context"])
        np.testing.assert_allclose(line.get_ydata(), excess_perplexity(run), atol=1e-14)
    assert (context.get_xscale(), context.get_yscale()) == ("log", "symlog")
    assert context.get_xlabel() == "context $k$ (tokens)"
    assert context.get_ylabel() == "perplexity, above that of the full context"
    ticks = [context.yaxis.get_major_formatter()(excess) for excess in (-0.05, 0, 0.01, 1)]
    assert ticks == ["−5 %", "0", "+1 %", "+100 %"]


def test_each_run_has_one_colour_in_both_panels_and_the_legend(runs):
    figure = draw_horizons(runs)
    norms, context = figure.axes
    colours = [line.get_color() for line in curves(norms)]
    assert len(set(colours)) == 3
    assert [line.get_color() for line in curves(context)] == colours
    handles = figure.legends[0].legend_handles
    labels = {handle.get_label(): handle.get_color() for handle in handles}
    assert [labels[name] for name in ("elman", "gru", "lstm")] == colours
    assert "rule of thumb" in legend_texts(figure)
    assert_tidy(figure)


def test_marks_are_on_the_curves_at_the_horizons(runs):
    run = runs[2]
    run.facts["horizons"] = {"inputs": {"1/e": 4, "1%": None}, "hidden": {"1/e": 60, "1%": 70}}
    run.facts["context_horizon"] = {"1%": 20, "5%": 7}
    figure = draw_horizons([run])
    norms, context = figure.axes
    ((x, y, marker),) = marks(norms)
    assert (x, marker) == (4, "o") and y == pytest.approx(mean_ratio(run.arrays["log_norm_inputs"])[4])
    excess = dict(zip(run.arrays["context"].tolist(), excess_perplexity(run), strict=True))
    assert [(x, marker) for x, _, marker in marks(context)] == [(20, "D"), (7, "^")]
    np.testing.assert_allclose([y for _, y, _ in marks(context)], [excess[20], excess[7]], rtol=1e-12)
    assert [text for text in legend_texts(figure) if "%" in text or "/" in text] == [
        "norm 1/e",
        "perplexity + 1 %",
        "perplexity + 5 %",
    ]


def test_hidden_states_replace_inputs_if_one_run_has_none(runs):
    runs[1] = without(runs[1], "log_norm_inputs")
    norms = draw_horizons(runs).axes[0]
    for run, line in zip(runs, curves(norms), strict=True):
        np.testing.assert_allclose(line.get_ydata(), mean_ratio(run.arrays["log_norm_hidden"]), rtol=1e-12)
    assert norms.get_ylabel() == r"mean $\|\partial J_i/\partial h_{i-\ell}\|$, relative to lag 0"


def test_panels_and_curves_that_were_not_measured_are_left_out(runs, tmp_path):
    norms = ("log_norm_inputs", "log_norm_hidden")
    (context,) = draw_horizons([without(run, *norms) for run in runs]).axes
    assert "context" in context.get_xlabel() and len(curves(context)) == 3
    (left,) = draw_horizons([without(run, "context_nats") for run in runs]).axes
    assert "lag" in left.get_xlabel() and len(curves(left)) == 3
    left, right = draw_horizons([without(runs[0], "context_nats"), runs[1]]).axes
    assert (len(curves(left)), len(curves(right))) == (2, 1)
    assert curves(left)[1].get_color() == curves(right)[0].get_color()  # the same run
    path = tmp_path / "none.png"
    with pytest.raises(DataError, match="nothing to compare"):
        horizons([write(without(runs[0], *norms, "context_nats"))], path)
    assert not path.exists()


def test_rules_of_thumb_are_drawn_within_the_axes(runs):
    norms, context = draw_horizons(runs).axes
    for axes in (norms, context):
        assert [text.get_text() for text in axes.texts] == ["about 7", "about 100"]
        assert {7, 100} <= {line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2}
    for run in runs:
        run.arrays["lag"] = run.arrays["lag"][:51]
        run.arrays["log_norm_inputs"] = run.arrays["log_norm_inputs"][:, :51]
    assert [text.get_text() for text in draw_horizons(runs).axes[0].texts] == ["about 7"]  # 100 is off the axis


def test_rules_of_thumb_are_for_models_of_words_only(runs):
    for run in runs:
        run.facts["level"] = "char"
    figure = draw_horizons(runs)
    assert "rule of thumb" not in legend_texts(figure)
    assert not any("about" in text.get_text() for axes in figure.axes for text in axes.texts)


def test_checkpoints_are_coloured_in_the_order_of_training(tmp_path):
    runs = [measured(tmp_path / f"step-{k}", seed=k, scale=0.5 + k / 4, step=1000 * k) for k in range(5)]
    figure = draw_horizons(runs, sequential=True)
    norms, context, bar = figure.axes
    for run, line in zip(runs, curves(norms), strict=True):
        np.testing.assert_allclose(line.get_ydata(), mean_ratio(run.arrays["log_norm_inputs"]), rtol=1e-12)
    assert [line.get_color() for line in curves(norms)] == sequential_colours(5)
    assert [line.get_color() for line in curves(context)] == sequential_colours(5)
    assert bar.get_ylabel() == "training step"
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0", "1000", "2000", "3000", "4000"]
    assert not any("step" in text for text in legend_texts(figure))
    assert_tidy(figure)


def test_the_axis_includes_contexts_that_increase_perplexity(runs):
    run = runs[0]
    run.arrays["context_nats"] = run.arrays["context_nats"] - 0.1
    context = draw_horizons([run]).axes[1]
    low, high = context.get_ylim()
    excess = curves(context)[0].get_ydata()
    np.testing.assert_allclose(excess, excess_perplexity(run), atol=1e-14)
    assert excess.min() < 0
    assert low < excess.min() and excess.max() < high


def test_a_context_of_zero_is_left_out_of_the_log_axis(runs):
    runs[0].arrays["context"][0] = 0
    context = draw_horizons(runs[:1]).axes[1]
    np.testing.assert_array_equal(curves(context)[0].get_xdata(), runs[0].arrays["context"][1:])


def test_nine_runs_have_different_lines_and_fit(tmp_path):
    kinds = ("elman", "gru", "lstm") * 3
    runs = [measured(tmp_path / f"vanishing-{kind}-of-128-units-{k}", kind, k) for k, kind in enumerate(kinds)]
    figure = draw_horizons(runs)
    assert len({(line.get_color(), line.get_linestyle()) for line in curves(figure.axes[0])}) == 9
    assert {run.name for run in runs} <= set(legend_texts(figure))
    assert_tidy(figure)
    assert figure.axes[0].get_window_extent().height > 0.5 * 4 * figure.dpi


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_infinite_and_nan_values_can_be_drawn(runs, value):
    for run in runs:
        for name in ("log_norm_inputs", "context_nats"):
            run.arrays[name] = np.full_like(run.arrays[name], value)
    figure = draw_horizons(runs)
    figure.draw_without_rendering()
    assert all(np.isnan(line.get_ydata()).all() for line in curves(figure.axes[0]))


def test_png_and_svg_are_written(runs, tmp_path):
    folders = [write(run) for run in runs]
    horizons(folders, tmp_path / "horizons.png")
    horizons(folders, tmp_path / "checkpoints.svg", sequential=True)
    assert (tmp_path / "horizons.png").read_bytes().startswith(b"\x89PNG")
    assert b"training step" in (tmp_path / "checkpoints.svg").read_bytes()
