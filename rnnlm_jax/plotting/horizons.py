"""Horizons of several runs: gradient norm by lag, and perplexity by context."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.relative_norms import LARGEST_LOG, line, relative_norms
from rnnlm_jax.plotting.style import (
    GREY,
    colour_bar,
    legend_below,
    mark_horizons,
    new_figure,
    paper_style,
    run_lines,
    save,
    sequential_colours,
    threshold_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Rules of thumb for the context, in words, that a simple recurrent network and an LSTM use.
RULES_OF_THUMB = (7, 100)
RULE_LINE: Any = {"color": "#BBBBBB", "lw": 0.8}

#: Threshold -> marker of its horizon.
NORM_MARKERS = {"1/e": "o", "1%": "s"}
CONTEXT_MARKERS = {"1%": "D", "5%": "^"}
#: Ticks of the axis of relative excess perplexity.
EXCESS_TICKS = (-0.5, -0.1, -0.05, -0.01, 0, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50, 100)

#: Lower limit of the left panel; its inverse is the upper limit.
FLOOR = 1e-6


def horizons(folders: Sequence[Path], path: Path, sequential: bool = False) -> None:
    """Draw several runs, or checkpoints of one: gradient norm by lag, and perplexity by context.

        left     Σ_i ‖∂J_i/∂x_{i-ℓ}‖ / Σ_i ‖∂J_i/∂x_i‖      (for the hidden state if a run has no inputs)
        right    exp(nats with k tokens of context - nats with all) - 1, linear up to 1 %, logarithmic beyond

    Args:
        folders: folders with ``jacobians.npz`` and ``jacobians.json``.
        path: PNG, PDF or SVG file to write.
        sequential: whether the folders are checkpoints in the order of training, coloured from early to late.

    Raises:
        DataError: if the folders have neither norms by lag nor perplexities by context.
    """
    save(draw_horizons([read_measurement(folder) for folder in folders], sequential), path)


@paper_style()
def draw_horizons(runs: Sequence[Measurement], sequential: bool = False) -> "Figure":
    """Return the figure of ``horizons``."""
    from matplotlib.lines import Line2D

    part = "inputs" if all("log_norm_inputs" in run.arrays for run in runs) else "hidden"
    with_norms = any(f"log_norm_{part}" in run.arrays for run in runs)
    with_context = any("context_nats" in run.arrays for run in runs)
    if not (with_norms or with_context):
        raise DataError("nothing to compare: neither norms by lag nor perplexities by context were measured")
    figure = new_figure()
    panels = list(figure.subplots(1, with_norms + with_context, squeeze=False)[0])
    lines: Sequence[dict[str, Any]] = (
        [{"color": c} for c in sequential_colours(len(runs))] if sequential else run_lines(len(runs))
    )
    if with_norms:
        _draw_norms(panels[0], runs, part, lines)
    if with_context:
        _draw_context(panels[-1], runs, lines)
    run_entries = (
        [] if sequential else [Line2D([], [], lw=1.5, label=r.name, **k) for r, k in zip(runs, lines, strict=True)]
    )
    if sequential:
        colour_bar(figure, panels, [run.facts.get("step", run.name) for run in runs], title="training step")
    mark_entries = [
        *_mark_entries("norm", NORM_MARKERS, [run.horizons(part) for run in runs] if with_norms else []),
        *_mark_entries(
            "perplexity +", CONTEXT_MARKERS, [run.context_horizons() for run in runs] if with_context else []
        ),
    ]
    if _read_words(runs):
        for axes in panels:
            _draw_rules_of_thumb(axes)
        mark_entries.append(Line2D([], [], **RULE_LINE, label="rule of thumb"))
    legend_below(figure, run_entries, mark_entries)
    return figure


def _draw_norms(axes: "Axes", runs: Sequence[Measurement], part: str, lines: Sequence[dict[str, Any]]) -> None:
    """Draw the left panel: the mean relative norm by lag."""
    from matplotlib.ticker import MaxNLocator

    lowest, highest, furthest = 1e-2, 1.0, 1
    for run, look in zip(runs, lines, strict=True):
        if f"log_norm_{part}" not in run.arrays:
            continue
        mean = line(relative_norms(run.arrays[f"log_norm_{part}"]).mean)
        lag = run.arrays["lag"][: len(mean)]
        lowest, highest = np.nanmin([lowest, *mean]), np.nanmax([highest, *mean])
        furthest = max(furthest, lag[-1])
        axes.plot(lag, mean, lw=1.5, **look)
        mark_horizons(axes, run.horizons(part), NORM_MARKERS, x=lag, y=mean, colour=look["color"])
    symbol = "x" if part == "inputs" else "h"
    axes.set_yscale("log")
    axes.set(
        xlim=(0, furthest),
        xlabel=r"lag $\ell$ (steps)",
        ylabel=rf"mean $\|\partial J_i/\partial {symbol}_{{i-\ell}}\|$, relative to lag 0",
    )
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.set_ylim(max(lowest / 2, FLOOR), min(highest * 2, 1 / FLOOR))


def _draw_context(axes: "Axes", runs: Sequence[Measurement], lines: Sequence[dict[str, Any]]) -> None:
    """Draw the right panel: the relative excess of perplexity with k tokens of context over the full context."""
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    lowest, highest, furthest = -0.003, 0.02, 10.0
    for run, look in zip(runs, lines, strict=True):
        if "context_nats" not in run.arrays:
            continue
        lengths = run.arrays["context"]
        nll = np.asarray(run.arrays["context_nats"], np.float64) - float(run.arrays["full_nats"])
        lengths, excess = lengths[lengths > 0], np.expm1(np.minimum(nll, LARGEST_LOG))[lengths > 0]
        lowest, highest = np.nanmin([lowest, *excess]), np.nanmax([highest, *excess])
        furthest = max(furthest, *lengths)
        axes.plot(lengths, excess, lw=1.5, **look)
        mark_horizons(axes, run.context_horizons(), CONTEXT_MARKERS, x=lengths, y=excess, colour=look["color"])
    axes.axhline(0, color="black", lw=0.5, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(0.85, furthest / 0.85)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yscale("symlog", linthresh=0.01, linscale=0.5)  # negative too: a longer context can increase perplexity
    axes.set_ylim(1.3 * lowest, 1.3 * highest)
    axes.yaxis.set_major_locator(FixedLocator(EXCESS_TICKS))
    axes.yaxis.set_major_formatter(_percent)
    axes.set(xlabel="context $k$ (tokens)", ylabel="perplexity, above that of the full context")


def _percent(excess: float, _: float) -> str:
    """Return a tick label."""
    return f"{100 * excess:+g} %".replace("-", "−") if excess else "0"


def _read_words(runs: Sequence[Measurement]) -> bool:
    """Return whether all runs read words, which the rules of thumb count; without a recorded level, they do."""
    return all(run.facts.get("level", "word") == "word" for run in runs)


def _draw_rules_of_thumb(axes: "Axes") -> None:
    """Draw light vertical lines at the rules of thumb within the axis."""
    low, high = axes.get_xlim()
    for tokens in RULES_OF_THUMB:
        if low < tokens < high:
            axes.axvline(tokens, **RULE_LINE, zorder=1)
            axes.annotate(
                f"about {tokens}",
                (tokens, 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=GREY,
                size=8,
            )


def _mark_entries(quantity: str, markers: dict[str, str], horizons: Sequence[dict[str, int | None]]) -> list["Line2D"]:
    """Return legend entries for the marks that at least one run has."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [], [], marker=marker, ls="", color=GREY, mec="white", ms=6.5, label=f"{quantity} {threshold_label(name)}"
        )
        for name, marker in markers.items()
        if any(each.get(name) is not None for each in horizons)
    ]
