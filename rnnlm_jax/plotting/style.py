"""What the figures for papers share: sizes, colours that the colour-blind tell apart, thresholds, legends."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito (2008), without their yellow, which white paper swallows.
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
    """Sizes for a figure 7 inches wide; also a decorator of the functions that draw."""
    from matplotlib import rc_context

    with rc_context(SIZES):
        yield


def new_figure(width: float = 7.0, height: float = 4.0) -> "Figure":
    """An empty figure whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def run_lines(count: int) -> list[dict[str, Any]]:
    """Colour and dashes of each of some runs; from the eighth on colours come again, with other dashes."""
    size = len(PALETTE)
    return [{"color": PALETTE[k % size], "ls": ("-", "--", ":")[k // size % 3]} for k in range(count)]


def sequential_colours(count: int) -> list[str]:
    """Colours in an order that the eye sees, dark to light, none too light for a line on white."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.88 * k / max(count - 1, 1))) for k in range(count)]


def colour_bar(figure: "Figure", axes: Sequence["Axes"], labels: Sequence[Any], title: str) -> None:
    """A colour bar of steps, one for each of the ``sequential_colours``, with at most ten of them labelled."""
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
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def mark_horizons(
    axes: "Axes", horizons: dict[str, int | None], markers: dict[str, str], x: np.ndarray, y: np.ndarray, colour: str
) -> None:
    """A mark on a curve at each horizon that was found, of the form that its threshold has."""
    drawn = np.isfinite(y)
    x, y = x[drawn], y[drawn]
    for name, at in horizons.items():
        if at is not None and x.size and x[0] <= at <= x[-1]:
            marker = markers.get(name, "*")
            axes.plot(at, np.interp(at, x, y), marker, color=colour, mec="white", mew=0.8, ms=6.5, zorder=3)


def legend_below(figure: "Figure", *groups: Sequence["Artist"]) -> None:
    """A legend under the axes, where it covers no data, in as many columns as there is room for.

    Each group of artists begins a row. The figure grows by what the legend has beyond two rows.
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
    """Entries in the order in which a legend, which fills its columns first, shows them row by row."""
    from matplotlib.lines import Line2D

    entries: list[Artist] = []
    for group in groups:
        blanks = [Line2D([], [], lw=0, label=" ") for _ in range(-len(group) % columns)]
        entries += [*group, *blanks]
    return [entry for column in range(columns) for entry in entries[column::columns]]


def threshold(name: str) -> float:
    """The number behind the name of a horizon's threshold: ``1/e``, ``1%``."""
    return math.exp(-1) if name == "1/e" else float(name.removesuffix("%")) / 100


def spelt(name: str) -> str:
    """A threshold's name as a text has it: ``1 %``."""
    return name.replace("%", " %")
