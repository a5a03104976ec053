"""Runs side by side: the same colours in both panels, the marks where the horizons are."""

import numpy as np
import pytest

from rnnlm_jax import UserError
from rnnlm_jax.plotting import draw_horizons, horizons
from rnnlm_jax.plotting.style import sequential_colours
from tests.plotting.layout import assert_tidy, curves, legend_texts, marks
from tests.plotting.synthetic import mean_ratio, measured, write

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def runs(tmp_path):
    return [measured(tmp_path / kind, kind, seed) for seed, kind in enumerate(("elman", "gru", "lstm"))]


def without(run, *names):
    return run._replace(arrays={name: array for name, array in run.arrays.items() if name not in names})


def test_both_panels(runs):
    figure = draw_horizons(runs)
    norms, context = figure.axes
    for run, left, right in zip(runs, curves(norms), curves(context), strict=True):
        np.testing.assert_allclose(left.get_ydata(), mean_ratio(run.arrays["log_norm_inputs"]), rtol=1e-12)
        np.testing.assert_array_equal(right.get_xdata(), run.arrays["context"])
        ratio = np.exp(run.arrays["context_nats"] - run.arrays["full_nats"])
        np.testing.assert_allclose(right.get_ydata(), ratio - 1, atol=1e-14)
        assert left.get_color() == right.get_color()
    assert len({line.get_color() for line in curves(norms)}) == 3
    assert norms.get_yscale() == "log" and context.get_xscale() == "log"
    assert set(legend_texts(figure)) >= {"elman", "gru", "lstm", "rule of thumb"}
    assert_tidy(figure)


def test_marks_are_at_the_horizons(runs):
    run = runs[2]
    run.facts["horizons"] = {"inputs": {"1/e": 4, "1%": None}, "hidden": {"1/e": 60, "1%": 70}}
    run.facts["context_horizon"] = {"1%": 20, "5%": 7}
    figure = draw_horizons([run])
    norms, context = figure.axes
    ((x, y, marker),) = marks(norms)
    assert (x, marker) == (4, "o") and y == pytest.approx(mean_ratio(run.arrays["log_norm_inputs"])[4])
    excess = dict(zip(run.arrays["context"].tolist(), np.expm1(run.arrays["context_nats"] - 4.6), strict=True))
    assert [(x, marker) for x, _, marker in marks(context)] == [(20, "D"), (7, "^")]
    np.testing.assert_allclose([y for _, y, _ in marks(context)], [excess[20], excess[7]], rtol=1e-12)
    assert [text for text in legend_texts(figure) if "%" in text or "/" in text] == [
        "norm 1/e",
        "perplexity + 1 %",
        "perplexity + 5 %",
    ]


def test_hidden_stands_in_for_inputs_in_all_runs(runs):
    runs[1] = without(runs[1], "log_norm_inputs")
    norms = draw_horizons(runs).axes[0]
    for run, line in zip(runs, curves(norms), strict=True):
        np.testing.assert_allclose(line.get_ydata(), mean_ratio(run.arrays["log_norm_hidden"]), rtol=1e-12)
    assert r"\partial h_" in norms.get_ylabel()
    assert r"\partial x_" in draw_horizons(runs[:1]).axes[0].get_ylabel()


def test_what_was_not_measured_is_left_out(runs, tmp_path):
    norms = ("log_norm_inputs", "log_norm_hidden")
    (context,) = draw_horizons([without(run, *norms) for run in runs]).axes
    assert "context" in context.get_xlabel()
    (left,) = draw_horizons([without(run, "context_nats") for run in runs]).axes
    assert "lag" in left.get_xlabel()
    one, two = draw_horizons([without(runs[0], "context_nats"), runs[1]]).axes
    assert (len(curves(one)), len(curves(two))) == (2, 1)
    assert curves(one)[1].get_color() == curves(two)[0].get_color()  # of the same run
    with pytest.raises(UserError, match="nothing to compare"):
        horizons([write(without(runs[0], *norms, "context_nats"))], tmp_path / "none.png")


def test_rules_of_thumb(runs):
    norms, context = draw_horizons(runs).axes
    for axes in (norms, context):
        assert [text.get_text() for text in axes.texts] == ["about 7", "about 100"]
        assert {7, 100} <= {line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2}
    for run in runs:
        run.arrays["lag"] = run.arrays["lag"][:51]
        run.arrays["log_norm_inputs"] = run.arrays["log_norm_inputs"][:, :51]
    assert [text.get_text() for text in draw_horizons(runs).axes[0].texts] == ["about 7"]  # 100 is off the axis


def test_checkpoints_are_coloured_in_order(tmp_path):
    runs = [measured(tmp_path / f"step-{k}", seed=k, scale=0.5 + k / 4, step=1000 * k) for k in range(5)]
    figure = draw_horizons(runs, sequential=True)
    norms, context, bar = figure.axes
    assert [line.get_color() for line in curves(norms)] == sequential_colours(5)
    assert [line.get_color() for line in curves(context)] == sequential_colours(5)
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0", "1000", "2000", "3000", "4000"]
    assert not any("step" in text for text in legend_texts(figure))
    assert_tidy(figure)


def test_a_longer_context_that_harms_is_seen(runs):
    run = runs[0]
    run.arrays["context_nats"] = run.arrays["context_nats"] - 0.1
    context = draw_horizons([run]).axes[1]
    low, _ = context.get_ylim()
    assert low < np.expm1(-0.1) and curves(context)[0].get_ydata().min() == pytest.approx(np.expm1(-0.1), rel=0.02)
    assert context.yaxis.get_major_formatter()(-0.05) == "−5 %"


def test_a_context_of_nothing_is_not_on_a_log_axis(runs):
    runs[0].arrays["context"][0] = 0
    context = draw_horizons(runs[:1]).axes[1]
    assert curves(context)[0].get_xdata()[0] == 2


def test_many_runs_are_told_apart_and_fit(tmp_path):
    kinds = ("elman", "gru", "lstm") * 3
    runs = [measured(tmp_path / f"vanishing-{kind}-of-128-units-{k}", kind, k) for k, kind in enumerate(kinds)]
    figure = draw_horizons(runs)
    assert len({(line.get_color(), line.get_linestyle()) for line in curves(figure.axes[0])}) == 9
    assert_tidy(figure)
    assert figure.axes[0].get_window_extent().height > 0.5 * 4 * figure.dpi


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_no_number_breaks_it(runs, value):
    for run in runs:
        for name in ("log_norm_inputs", "context_nats"):
            run.arrays[name] = np.full_like(run.arrays[name], value)
    draw_horizons(runs).draw_without_rendering()


def test_the_file(runs, tmp_path):
    folders = [write(run) for run in runs]
    horizons(folders, tmp_path / "horizons.png")
    horizons(folders, tmp_path / "checkpoints.svg", sequential=True)
    assert (tmp_path / "horizons.png").read_bytes().startswith(b"\x89PNG")
    assert b"training step" in (tmp_path / "checkpoints.svg").read_bytes()


def test_rules_of_thumb_are_of_words(runs):
    """About 7 and 100 words are said to be used, not characters."""
    for run in runs:
        run.facts["level"] = "char"
    figure = draw_horizons(runs)
    assert "rule of thumb" not in legend_texts(figure)
    assert not any("about" in text.get_text() for axes in figure.axes for text in axes.texts)
