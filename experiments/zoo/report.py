"""The table, the record and the figure of the study, from the results of its cells."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import readme_table
from experiments.every_cell import LINEAR, NONLINEAR, WINDOW
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, GREEN, VERMILION, legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = dict[str, Any]

COLOURS = {NONLINEAR: BLUE, LINEAR: VERMILION, WINDOW: GREEN}
LABELS = {NONLINEAR: "not linear in the state", LINEAR: "linear in the state", WINDOW: "feed-forward over a window"}
HEAD = (
    *("cell", "from", "recurrence", "units", "parameters", "test perplexity", "validation", "tokens/s"),
    *("gradient: 1/e", "1 %", "context: 5 %", "1 %"),
)


def merged(trained: Sequence[Result], timed: Sequence[Result]) -> list[Result]:
    """Return the results, best test perplexity first, with the speed measured alone where there is one."""
    speeds = {result["cell"]: result for result in timed}
    both = [
        result
        | {
            "tokens_per_second": speeds[result["cell"]]["tokens_per_second"] if result["cell"] in speeds else None,
            "timed": speeds.get(result["cell"]),
        }
        for result in trained
    ]
    return sorted(both, key=lambda result: math.inf if result["test_perplexity"] is None else result["test_perplexity"])


def record(results: Sequence[Result], study: Path) -> None:
    """Write ``results.json``, the figure, and the table of the README of a study."""
    write_json(study / "results.json", {"results": list(results)})
    save(draw_cells(results), study / "cells.png")
    figure = "![test perplexities and horizons of all cells](cells.png)\n"
    readme_table.write_table(study / "README.md", f"{readme_table.markdown(HEAD, rows(results))}\n{figure}")


def rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the rows of the table."""
    return [
        [
            result["cell"],
            result["paper"],
            result["group"],
            str(result["hidden_size"]),
            f"{result['parameters']:,}",
            perplexity_words(result["test_perplexity"]),
            perplexity_words(result["valid_perplexity"]),
            f"{result['tokens_per_second']:,.0f}" if result["tokens_per_second"] else "",
            *(at_least(result["horizons"][name], result["recipe"]["lags"][-1]) for name in ("1/e", "1%")),
            *(at_least(result["context_horizon"][name], longest_context(result)) for name in ("5%", "1%")),
        ]
        for result in results
    ]


def perplexity_words(value: float | None) -> str:
    """Return a perplexity in words, one of more than 10,000 by its size; JSON has None for one that is not finite."""
    if value is None:
        return "not finite"
    return f"{value:.1f}" if value < 10_000 else f"{value:.0e}"


def at_least(value: int | None, most: int) -> str:
    """Return a horizon in words; one beyond all lags or contexts that were measured as "over" the largest."""
    return f"over {most}" if value is None else str(value)


def longest_context(result: Result) -> int:
    """Return the longest context that was measured."""
    return max(map(int, result["perplexity_by_context"]))


@paper_style()
def draw_cells(results: Sequence[Result]) -> "Figure":
    """Return bars of test perplexity, the best cell at the top, beside the horizons of the same cells."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure = new_figure(height=1.6 + 0.17 * len(results))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = range(len(results))
    colours = [COLOURS[result["group"]] for result in results]
    finite = [result["test_perplexity"] for result in results if result["test_perplexity"] is not None]
    low, high = 0.9 * min(finite, default=1.0), 1.02 * min(max(finite, default=2.0), 2.5 * min(finite, default=1.0))
    perplexities = [high if result["test_perplexity"] is None else result["test_perplexity"] for result in results]
    left.barh(places, perplexities, color=colours, height=0.7)
    left.set_xlim(low, high)  # bars to the right edge are of larger or infinite perplexities
    left.set_yticks(places, [result["cell"] for result in results])
    left.set_ylim(len(results) - 0.4, -0.6)
    left.set_xlabel("test perplexity (axis does not start at 0)")
    _draw_horizons(right, results, colours)
    found = [kind for kind in COLOURS if any(result["group"] == kind for result in results)]
    marks = {"o": "gradient at 1 %", "D": "context within 1 %", ">": "beyond what was measured"}
    shapes = [Line2D([], [], color="black", marker=mark, ls="", ms=4, label=label) for mark, label in marks.items()]
    legend_below(figure, [Patch(color=COLOURS[kind], label=LABELS[kind]) for kind in found], shapes)
    return figure


def _draw_horizons(axes: "Axes", results: Sequence[Result], colours: Sequence[str]) -> None:
    """Draw the horizons of each cell in its row; those beyond the measurement as arrows."""
    for place, (result, colour) in enumerate(zip(results, colours, strict=True)):
        values = (
            (result["horizons"]["1%"], result["recipe"]["lags"][-1], "o"),
            (result["context_horizon"]["1%"], longest_context(result), "D"),
        )
        for value, most, mark in values:
            face = colour if mark == "o" else "white"
            x = max(most if value is None else value, 1)
            axes.plot(x, place, ">" if value is None else mark, color=colour, mfc=face, ms=4.5)
    axes.set_xscale("log")
    axes.grid(axis="x", lw=0.3)
    axes.set_xlabel("horizon (words)")
    axes.tick_params(axis="y", length=0)
