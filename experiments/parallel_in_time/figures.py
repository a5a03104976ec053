"""The figures of the study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.parallel_in_time.iterations import BLOCKS, DIAGONAL
from experiments.parallel_in_time.law import Point, at
from rnnlm_jax.plotting.style import (
    GREY,
    colour_bar,
    legend_below,
    new_figure,
    paper_style,
    run_lines,
    sequential_colours,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = dict[str, Any]
DASHES = {BLOCKS: "-", DIAGONAL: "--"}
LABELS = {BLOCKS: "whole Jacobian", DIAGONAL: "its diagonal"}


@paper_style()
def draw_gains(results: Sequence[Result]) -> "Figure":
    """Return the largest exponent above the iterations of the same networks, by gain."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    gains = [result["gain"] for result in results]
    exponents = [result["exponent"] for result in results]
    above.errorbar(gains, exponents, [2 * result["standard_error"] for result in results], color="black", marker="o")
    above.axhline(0, color=GREY, lw=0.8)
    above.set_ylabel(r"largest exponent $\lambda_1$")
    lengths = [steps for steps in results[0]["recipe"]["lengths"] if any(at(r[BLOCKS], steps) for r in results)]
    colours = sequential_colours(len(lengths))
    for steps, colour in zip(lengths, colours, strict=True):
        for jacobian, dashes in DASHES.items():
            points = [(r["gain"], at(r[jacobian], steps)) for r in results]
            draw_points(below, [(g, p) for g, p in points if p], colour=colour, dashes=dashes)
    crossing = zero_crossing(gains, exponents)
    for axes in (above, below):
        if crossing is not None:
            axes.axvline(crossing, color=GREY, lw=0.8, ls=":")
    below.set_yscale("log")
    below.set(xlabel="gain $g$", ylabel="Newton iterations")
    lines = [Line2D([], [], color=GREY, ls=dashes, label=LABELS[name]) for name, dashes in DASHES.items()]
    lines += [Line2D([], [], color=GREY, ls="", marker="x", label="falls back")]
    lines += [Line2D([], [], color=GREY, lw=0.8, ls=":", label=r"$\lambda_1 = 0$")]
    colour_bar(figure, [above, below], [f"{steps:,}" for steps in lengths], title="steps $T$")
    legend_below(figure, lines)
    return figure


@paper_style()
def draw_lengths(results: Sequence[Result]) -> "Figure":
    """Return iterations by length, a line for each gain; left by all numbers of the Jacobian, right by its diagonal."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=3.4)
    panels = figure.subplots(1, 2, sharey=True)
    lengths = results[0]["recipe"]["lengths"]
    for axes, jacobian in zip(panels, (BLOCKS, DIAGONAL), strict=True):
        for result, colour in zip(results, sequential_colours(len(results)), strict=True):
            draw_points(axes, [(point["steps"], point) for point in result[jacobian]], colour=colour, dashes="-")
        axes.plot(lengths, lengths, color=GREY, lw=0.8, ls=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        most = max(point["iterations"] for result in results for j in DASHES for point in result[j])
        axes.set(title=LABELS[jacobian], xlabel="steps $T$", ylim=(1, 2 * most))
    panels[0].set_ylabel("Newton iterations")
    labels = [f"{round(result['exponent'], 2) + 0.0:.2f}".replace("-", "−") for result in results]
    colour_bar(figure, list(panels), labels, title=r"$\lambda_1$ of the network")
    lines = [Line2D([], [], color=GREY, lw=0.8, ls=":", label="as many as there are steps")]
    legend_below(figure, [*lines, Line2D([], [], color=GREY, ls="", marker="x", label="falls back")])
    return figure


@paper_style()
def draw_text(results: Sequence[Result]) -> "Figure":
    """Return iterations on text by the largest exponent, and by length, before and after training."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=3.2)
    left, right = figure.subplots(1, 2, sharey=True)
    looks = run_lines(len(results))
    for result, look in zip(results, looks, strict=True):
        for when, face in (("initial", "white"), ("trained", look["color"])):
            points, marks = result[when][BLOCKS], {"marker": "o", "mfc": face, "color": look["color"]}
            left.plot(result[when]["exponent"], points[-1]["iterations"], ls="", **marks)
            lengths, counts = zip(*((point["steps"], point["iterations"]) for point in points), strict=True)
            right.plot(lengths, counts, ls=":" if when == "initial" else "-", **marks)
    left.axvline(0, color=GREY, lw=0.8, ls=":")
    left.set(xlabel=r"largest exponent $\lambda_1$ on the text", ylabel="Newton iterations, longest text")
    right.set(xlabel="steps $T$", xscale="log", ylabel="Newton iterations")
    left.set(yscale="log", ylim=(0.8, None))
    cells = [
        Line2D([], [], color=look["color"], marker="o", label=result["cell"])
        for result, look in zip(results, looks, strict=True)
    ]
    marks = [Line2D([], [], color=GREY, marker="o", mfc="white", ls=":", label="as initialised")]
    legend_below(figure, cells, [*marks, Line2D([], [], color=GREY, marker="o", label="trained")])
    return figure


def draw_points(axes: "Axes", points: Sequence[tuple[float, Point]], *, colour: str, dashes: str) -> None:
    """Draw iterations over x, a cross in place of a dot where the sequence falls back."""
    axes.plot([x for x, _ in points], [p["iterations"] for _, p in points], color=colour, ls=dashes, lw=1.2)
    for converged, marker in ((True, "."), (False, "x")):
        kept = [(x, point["iterations"]) for x, point in points if point["converged"] == converged]
        axes.plot([x for x, _ in kept], [y for _, y in kept], color=colour, ls="", marker=marker, ms=5)


def zero_crossing(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return where a curve first changes its sign, by linear interpolation; None if it does not."""
    for k in range(len(x) - 1):
        if y[k] < 0 <= y[k + 1]:
            return x[k] - y[k] * (x[k + 1] - x[k]) / (y[k + 1] - y[k])
    return None
