"""The table, the record and the figure of the study, from the results of its pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import readme_table
from experiments.every_cell import LINEAR, NONLINEAR, WINDOW
from rnnlm_jax import tasks
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, GREEN, GREY, VERMILION, legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]

COLOURS = {NONLINEAR: BLUE, LINEAR: VERMILION, WINDOW: GREEN}
LABELS = {NONLINEAR: "not linear in the state", LINEAR: "linear in the state", WINDOW: "feed-forward over a window"}


def record(results: Sequence[Result], study: Path) -> None:
    """Write ``results.json``, the figure, and the table of the README of a study."""
    write_json(study / "results.json", {"results": list(results)})
    save(draw_accuracies(results), study / "accuracy-by-length.png")
    figure = "![accuracy by length of the sequence, a line for each cell](accuracy-by-length.png)\n"
    readme_table.write_table(study / "README.md", f"{readme_table.markdown(*table(results))}\n{figure}")


def table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, best cell first: accuracy beyond the lengths of training, and up to them in brackets."""
    names = [name for name in tasks.names() if any(result["task"] == name for result in results)]
    by_cell: dict[str, dict[str, Result]] = {}
    for result in results:
        by_cell.setdefault(result["cell"], {})[result["task"]] = result

    def order(cell: str) -> tuple[float, str]:
        return -sum(result["accuracy_beyond"] for result in by_cell[cell].values()), cell

    rows = []
    for cell in sorted(by_cell, key=order):
        of_cell = by_cell[cell]
        first = next(iter(of_cell.values()))
        solved = sum(result["solved"] for result in of_cell.values())
        accuracies = [accuracy_words(of_cell.get(name)) for name in names]
        rows.append([cell, first["group"], *accuracies, f"{solved} of {len(of_cell)}"])
    return ["cell", "recurrence", *names, "solved"], rows


def accuracy_words(result: Result | None) -> str:
    """Return the accuracies of a result in per cent."""
    if result is None:
        return ""
    return f"{100 * result['accuracy_beyond']:.1f} ({100 * result['accuracy_up_to_train_length']:.1f})"


@paper_style()
def draw_accuracies(results: Sequence[Result]) -> "Figure":
    """Return a panel for each task: accuracy by length, a thin line for each cell and a thick one for each group."""
    from matplotlib.lines import Line2D

    names = [name for name in tasks.names() if any(result["task"] == name for result in results)]
    figure = new_figure(height=2.9)
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for ax, name in zip(axes, names, strict=True):
        of_task = [result for result in results if result["task"] == name]
        for kind, colour in COLOURS.items():
            curves = [curve(result) for result in of_task if result["group"] == kind]
            for lengths, accuracy in curves:
                ax.plot(lengths, accuracy, color=colour, lw=0.5, alpha=0.5)
            if len({len(lengths) for lengths, _ in curves}) == 1:
                ax.plot(curves[0][0], np.median([accuracy for _, accuracy in curves], axis=0), color=colour, lw=1.8)
        ax.axhline(tasks.make(name).chance_accuracy, color=GREY, lw=0.8, ls=":")
        ax.axvline(of_task[0]["recipe"]["train_length"], color=GREY, lw=0.8, ls="--")
        ax.set_title(name)
        ax.set_xlabel("length")
        ax.set_ylim(0, 1.03)
    axes[0].set_ylabel("accuracy")
    found = [kind for kind in COLOURS if any(result["group"] == kind for result in results)]
    lines = [Line2D([], [], color=COLOURS[kind], lw=1.8, label=LABELS[kind]) for kind in found]
    lines += [Line2D([], [], color=GREY, lw=0.8, ls=":", label="chance")]
    legend_below(figure, [*lines, Line2D([], [], color=GREY, lw=0.8, ls="--", label="longest in training")])
    return figure


def curve(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return lengths and accuracies, those of up to 8 neighbouring lengths averaged."""
    lengths = np.array([int(length) for length in result["accuracy_by_length"]])
    accuracy = np.array(list(result["accuracy_by_length"].values()))
    width = min(8, len(lengths))
    kernel = np.ones(width)
    weights = np.convolve(np.ones(len(lengths)), kernel, "same")
    return lengths, np.convolve(accuracy, kernel, "same") / weights
