"""How far back runs look, side by side: the gradient's reach, and the context that the perplexity feels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.errors import UserError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.relative_norms import LARGEST_LOG, line, relative_norms
from rnnlm_jax.plotting.saving import save
from rnnlm_jax.plotting.style import (
    GREY,
    colour_bar,
    legend_below,
    mark_horizons,
    new_figure,
    paper_style,
    run_lines,
    sequential_colours,
    spelt,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Rules of thumb: what a simple recurrent network and an LSTM are said to use of the past.
THUMB = (7, 100)
THUMB_LINE: Any = {"color": "#BBBBBB", "lw": 0.8}

NORM_MARKERS = {"1/e": "o", "1%": "s"}
CONTEXT_MARKERS = {"1%": "D", "5%": "^"}
EXCESSES = (-0.5, -0.1, -0.05, -0.01, 0, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50, 100)

#: The left panel shows no less than this, and no more than its inverse.
FLOOR = 1e-6


def horizons(folders: Sequence[Path], path: Path, sequential: bool = False) -> None:
    """Draw several runs, or checkpoints of one: gradient norm by lag, and perplexity by context.

        left     Σ_i ‖∂J_i/∂x_{i-ℓ}‖ / Σ_i ‖∂J_i/∂x_i‖      (with respect to the hidden state where inputs miss)
        right    exp(nats with k tokens of context - nats with all) - 1, linear up to 1 %, logarithmic beyond

    Args:
        folders: each holds ``jacobians.npz`` and ``jacobians.json``.
        path: the PNG (or PDF, SVG) to write.
        sequential: whether they are checkpoints in the order of training, coloured from early to late.

    Raises:
        UserError: if the folders hold neither norms by lag nor perplexities by context.
    """
    save(draw_horizons([read_measurement(folder) for folder in folders], sequential), path)


@paper_style()
def draw_horizons(runs: Sequence[Measurement], sequential: bool = False) -> "Figure":
    """The figure of ``horizons``."""
    from matplotlib.lines import Line2D

    part = "inputs" if all("log_norm_inputs" in run.arrays for run in runs) else "hidden"
    with_norms = any(f"log_norm_{part}" in run.arrays for run in runs)
    with_context = any("context_nats" in run.arrays for run in runs)
    if not (with_norms or with_context):
        raise UserError("there is nothing to compare: neither norms by lag nor perplexities by context were measured")
    figure = new_figure()
    panels = list(figure.subplots(1, with_norms + with_context, squeeze=False)[0])
    lines: Sequence[dict[str, Any]] = (
        [{"color": c} for c in sequential_colours(len(runs))] if sequential else run_lines(len(runs))
    )
    if with_norms:
        _draw_norms(panels[0], runs, part, lines)
    if with_context:
        _draw_context(panels[-1], runs, lines)
    names = [] if sequential else [Line2D([], [], lw=1.5, label=r.name, **k) for r, k in zip(runs, lines, strict=True)]
    if sequential:
        colour_bar(figure, panels, [run.facts.get("step", run.name) for run in runs], "training step")
    reached = [
        *_reached("norm", NORM_MARKERS, [run.horizons(part) for run in runs] if with_norms else []),
        *_reached("perplexity +", CONTEXT_MARKERS, [run.context_horizons() for run in runs] if with_context else []),
    ]
    if _of_words(runs):
        for axes in panels:
            _rules_of_thumb(axes)
        reached.append(Line2D([], [], **THUMB_LINE, label="rule of thumb"))
    legend_below(figure, names, reached)
    return figure


def _draw_norms(axes: "Axes", runs: Sequence[Measurement], part: str, lines: Sequence[dict[str, Any]]) -> None:
    """Left: the mean relative norm by lag."""
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
        mark_horizons(axes, run.horizons(part), NORM_MARKERS, lag, mean, look["color"])
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
    """Right: by how much the perplexity of a context of k tokens exceeds that of the full one."""
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    lowest, highest, furthest = -0.003, 0.02, 10.0
    for run, look in zip(runs, lines, strict=True):
        if "context_nats" not in run.arrays:
            continue
        lengths = run.arrays["context"]
        nats = np.asarray(run.arrays["context_nats"], np.float64) - float(run.arrays["full_nats"])
        lengths, excess = lengths[lengths > 0], np.expm1(np.minimum(nats, LARGEST_LOG))[lengths > 0]
        lowest, highest = np.nanmin([lowest, *excess]), np.nanmax([highest, *excess])
        furthest = max(furthest, *lengths)
        axes.plot(lengths, excess, lw=1.5, **look)
        mark_horizons(axes, run.context_horizons(), CONTEXT_MARKERS, lengths, excess, look["color"])
    axes.axhline(0, color="black", lw=0.5, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(0.85, furthest / 0.85)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yscale("symlog", linthresh=0.01, linscale=0.5)  # and below zero: a longer context can do harm
    axes.set_ylim(1.3 * lowest, 1.3 * highest)
    axes.yaxis.set_major_locator(FixedLocator(EXCESSES))
    axes.yaxis.set_major_formatter(_percent)
    axes.set(xlabel="context $k$ (tokens)", ylabel="perplexity, above that of the full context")


def _percent(excess: float, _: float) -> str:
    return f"{100 * excess:+g} %".replace("-", "−") if excess else "0"


def _of_words(runs: Sequence[Measurement]) -> bool:
    """Whether all runs read words, which the rules of thumb count; a result that does not say is of words."""
    return all(run.facts.get("level", "word") == "word" for run in runs)


def _rules_of_thumb(axes: "Axes") -> None:
    """Light vertical lines at the contexts that are said to matter, where the axis reaches them."""
    low, high = axes.get_xlim()
    for tokens in THUMB:
        if low < tokens < high:
            axes.axvline(tokens, **THUMB_LINE, zorder=1)
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


def _reached(what: str, markers: dict[str, str], horizons: Sequence[dict[str, int | None]]) -> list["Line2D"]:
    """Legend entries for those marks that some run has."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], marker=marker, ls="", color=GREY, mec="white", ms=6.5, label=f"{what} {spelt(name)}")
        for name, marker in markers.items()
        if any(each.get(name) is not None for each in horizons)
    ]
