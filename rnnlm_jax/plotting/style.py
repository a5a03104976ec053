"""Shared style of the figures: sizes, colours for colour-blind readers, horizon marks, legends, saving."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.system.atomic_write import written_whole

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Palette of Okabe & Ito (2008) without yellow, which is hard to see on white.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, "#E69F00", "#56B4E9", "#000000")
GREY = "#777777"

SIZES: Any = {
    "font.size": 9,
    "figure.titlesize": 10,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextlib.contextmanager
def paper_style() -> Iterator[None]:
    """Set the sizes for figures 7 inches wide; also a decorator of functions that draw."""
    from matplotlib import rc_context

    with rc_context(SIZES):
        yield


def new_figure(width: float = 7.0, height: float = 4.0) -> "Figure":
    """Return an empty figure with constrained layout; width and height are in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def run_lines(count: int) -> list[dict[str, Any]]:
    """Return colour and dashes for each run; from the eighth run on, colours repeat with other dashes."""
    size = len(PALETTE)
    return [{"color": PALETTE[k % size], "ls": ("-", "--", ":")[k // size % 3]} for k in range(count)]


def sequential_colours(count: int) -> list[str]:
    """Return colours from dark to light, none too light for a line on white."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.88 * k / max(count - 1, 1))) for k in range(count)]


def colour_bar(figure: "Figure", axes: Sequence["Axes"], labels: Sequence[object], *, title: str) -> None:
    """Add a bar of the ``sequential_colours``, one step for each label, with at most ten labels shown."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    count = len(labels)
    mappable = ScalarMappable(
        BoundaryNorm([k - 0.5 for k in range(count + 1)], count), ListedColormap(sequential_colours(count))
    )
    ticks = range(0, count, math.ceil(count / 10))
    bar = figure.colorbar(mappable, ax=list(axes), ticks=list(ticks), label=title, aspect=30, pad=0.02)
    bar.ax.set_yticklabels([str(labels[k]) for k in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=0)
    bar.ax.spines["outline"].set_visible(False)


def mark_horizons(
    axes: "Axes",
    horizons: Mapping[str, int | None],
    markers: Mapping[str, str],
    *,
    x: np.ndarray,
    y: np.ndarray,
    colour: str,
) -> None:
    """Mark the horizons on a curve.

    Args:
        axes: axes with the curve.
        horizons: threshold -> horizon, None if the curve does not reach the threshold.
        markers: threshold -> marker.
        x: lags or contexts of the curve.
        y: its values.
        colour: its colour.
    """
    drawn = np.isfinite(y)
    x, y = x[drawn], y[drawn]
    for name, horizon in horizons.items():
        if horizon is not None and x.size and x[0] <= horizon <= x[-1]:
            marker = markers.get(name, "*")
            axes.plot(horizon, np.interp(horizon, x, y), marker, color=colour, mec="white", mew=0.8, ms=6.5, zorder=3)


def legend_below(figure: "Figure", *groups: Sequence["Artist"]) -> None:
    """Add a legend below the axes, with as many columns as fit.

    Each group of artists begins a row. If the legend has more than two rows, the figure becomes taller.
    """
    for columns in range(max(map(len, groups)), 0, -1):
        rows = sum(-(-len(group) // columns) for group in groups)
        legend = figure.legend(
            handles=_by_rows(groups, columns),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            handlelength=2.2,
            columnspacing=1.5,
        )
        if columns == 1 or legend.get_window_extent().width <= 0.98 * figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + 0.17 * max(rows - 2, 0))
            return
        legend.remove()


def _by_rows(groups: Sequence[Sequence["Artist"]], columns: int) -> list["Artist"]:
    """Return the entries in an order that a legend, which fills its columns first, shows row by row."""
    from matplotlib.lines import Line2D

    entries: list[Artist] = []
    for group in groups:
        blanks = [Line2D([], [], lw=0, label=" ") for _ in range(-len(group) % columns)]
        entries += [*group, *blanks]
    return [entry for column in range(columns) for entry in entries[column::columns]]


def threshold(name: str) -> float:
    """Return the value of a threshold with the given name, ``1/e`` or ``1%``."""
    return math.exp(-1) if name == "1/e" else float(name.removesuffix("%")) / 100


def threshold_label(name: str) -> str:
    """Return a threshold's name for a figure, with a space before the percent sign: ``1 %``."""
    return name.replace("%", " %")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to a PNG, PDF or SVG file, atomically."""
    from matplotlib import rc_context

    with written_whole(path) as temporary, rc_context({"pdf.fonttype": 42}):  # publishers reject the default, Type 3
        figure.savefig(temporary, dpi=150, format=path.suffix[1:])
