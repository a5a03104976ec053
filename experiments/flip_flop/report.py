"""The table, the record and the figure of the study."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import readme_table
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, GREEN, GREY, PURPLE, VERMILION, legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]

#: Colour and marker of a point by its number of unstable directions; the last for all larger numbers.
STYLES = ((BLUE, "o"), (VERMILION, "X"), (GREEN, "s"), (PURPLE, "D"))
FIGURE = "points.png"


def record(results: Sequence[Result], study: Path) -> None:
    """Write ``results.json``, the figure, and the table of the README of a study."""
    write_json(study / "results.json", {"results": list(results)})
    save(draw_points(results), study / FIGURE)
    if (study / "README.md").exists():
        figure = f"![fixed points in the space of three principal components]({FIGURE})\n"
        readme_table.write_table(study / "README.md", f"{readme_table.markdown(*table(results))}\n{figure}")


def inliers(result: Result) -> list[dict[str, Any]]:
    """Return the points of a network without outliers."""
    return [point for point in result["points"] if not point["outlier"]]


def stable_for_each_memory(result: Result) -> int:
    """Return for how many of the 8 memories a stable point has outputs within 0.5 of it."""
    stable = [point["outputs"] for point in inliers(result) if point["unstable_directions"] == 0]
    memories = np.array(list(product((-1, 1), repeat=3)))
    near = np.abs(np.reshape(stable, (-1, 1, 3)) - memories[None]).max(axis=2) < 0.5
    return int((near.sum(axis=0) == 1).sum())


def table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a network, its accuracy, and its points by the number of unstable directions."""
    head = ["network", "units", "right answers", "stable points", "memories with one", "1 unstable direction"]
    head += ["2", "more", "outliers", "largest q"]
    rows = []
    for result in results:
        points = inliers(result)
        counts = Counter(point["unstable_directions"] for point in points)
        more = sum(count for number, count in counts.items() if number > 2)
        rows.append(
            [
                result["network"],
                str(result["hidden_size"]),
                f"{100 * result['accuracy']:.2f} %",
                str(counts[0]),
                f"{stable_for_each_memory(result)} of 8",
                *(str(counts[number]) for number in (1, 2)),
                str(more),
                str(len(result["points"]) - len(points)),
                f"{max((point['q'] for point in points), default=0):.0e}",
            ]
        )
    return head, rows


@paper_style()
def draw_points(results: Sequence[Result]) -> "Figure":
    """Return a panel for each network: points and trajectories in the space of three principal components."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=3.7)
    for number, result in enumerate(results, 1):
        axes: Any = figure.add_subplot(1, len(results), number, projection="3d")
        for line in result["trajectories"]:
            axes.plot(*np.transpose(line), color=GREY, lw=0.3, alpha=0.6)
        for point in inliers(result):
            colour, marker = STYLES[min(point["unstable_directions"], len(STYLES) - 1)]
            axes.plot(*[[value] for value in point["components"]], marker, color=colour, ms=5, mec="white", mew=0.4)
        axes.set_title(f"{result['network']}, {result['hidden_size']} units")
        for axis, share in zip("xyz", result["variance_of_components"], strict=True):
            getattr(axes, f"set_{axis}label")(f"component {'xyz'.index(axis) + 1} ({100 * share:.0f} %)", labelpad=-8)
            getattr(axes, f"set_{axis}ticklabels")([])
        axes.view_init(elev=22, azim=-63)
    labels = ("stable", "1 unstable direction", "2 unstable directions", "3 or more")
    numbers = {min(point["unstable_directions"], 3) for result in results for point in inliers(result)}
    handles = [
        Line2D([], [], color=STYLES[number][0], marker=STYLES[number][1], ls="", label=labels[number])
        for number in sorted(numbers)
    ]
    legend_below(figure, [*handles, Line2D([], [], color=GREY, lw=0.8, label="trajectories")])
    return figure
