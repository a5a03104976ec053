"""Bar chart of a benchmark: the time of each library relative to ours, by shape."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm_jax.plotting.style import BLUE, GREY, PALETTE, legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Row of a benchmark's record.
Row = Mapping[str, Any]

#: Groups without a library to compare with.
NOT_DRAWN = {"zoo"}
#: Names of our rows, and of the matrix products alone, a lower bound that is drawn in grey.
OURS, FLOOR = "ours", "floor"
#: Panels side by side.
COLUMNS = 3

HATCHES = ("", "////", "....", "xxxx")


def benchmark(record: Mapping[str, Any], path: Path) -> bool:
    """Draw the time of every library relative to ours on a log scale, with a panel for each cell and pass.

    Args:
        record: record of ``rnnlm-jax bench``.
        path: PNG, PDF or SVG file to write.

    Returns:
        Whether the record has rows to draw; if not, no file is written.
    """
    rows = [row for row in record.get("rows", ()) if row["group"] not in NOT_DRAWN and row["name"] != OURS]
    if rows:
        save(draw_benchmark(rows), path)
    return bool(rows)


@paper_style()
def draw_benchmark(rows: Sequence[Row]) -> "Figure":
    """Return the figure of ``benchmark``."""
    from matplotlib.patches import Patch

    panels: dict[str, list[Row]] = {}
    for row in rows:
        kind = row["job"].partition(",")[0]
        panels.setdefault(f"{row['cell']} {kind}", []).append(row)
    names = list(dict.fromkeys(row["name"] for row in rows))
    looks = _looks_by_name(names)
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(height=1.0 + 2.1 * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for ax, (title, panel_rows) in zip(axes, panels.items(), strict=False):
        _draw_panel(ax, title, panel_rows, looks)
    ratios = [row["ratio"] for row in rows]
    axes[0].set_ylim(min(0.5, *ratios) / 1.2, 1.2 * max(2, *ratios))
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[: len(panels) : columns]:
        ax.set_ylabel("time / time of ours")
    legend_below(figure, [Patch(**looks[name], label=_label(name)) for name in names])
    return figure


def _draw_panel(axes: "Axes", title: str, rows: Sequence[Row], looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the bars of one cell and pass, grouped by shape."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    shapes, names = list(dict.fromkeys(_shape(row) for row in rows)), list(looks)
    width = 0.8 / len(names)
    for row in rows:
        centre = shapes.index(_shape(row)) - 0.4 + width * (names.index(row["name"]) + 0.5)
        # Bars begin at 1, so that slower and faster point to opposite sides.
        axes.bar(centre, row["ratio"] - 1, width, bottom=1, **looks[row["name"]])
    axes.axhline(1, color="black", lw=0.6)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks((0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100))
    axes.set_xticks(range(len(shapes)), shapes, rotation=30, ha="right")
    axes.set_title(title)


def _shape(row: Row) -> str:
    """Return the name of a model, or the sizes of a layer."""
    name = row["job"].partition(",")[2].strip()
    return name or "×".join(str(row["sizes"][letter]) for letter in "TBH")


def _looks_by_name(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour and hatching: our executors blue with different hatchings, a colour per library, the floor grey."""
    ours = [name for name in names if name.startswith(OURS)]
    libraries = [name for name in names if name not in ours and name != FLOOR]
    looks: dict[str, dict[str, Any]] = {FLOOR: {"facecolor": GREY}}
    looks |= {name: {"facecolor": BLUE, "hatch": HATCHES[k % len(HATCHES)]} for k, name in enumerate(ours)}
    others = PALETTE[1:]
    looks |= {name: {"facecolor": others[k % len(others)]} for k, name in enumerate(libraries)}
    return {name: looks[name] | {"edgecolor": "white", "linewidth": 0} for name in names}


def _label(name: str) -> str:
    return "matrix products alone" if name == FLOOR else name
