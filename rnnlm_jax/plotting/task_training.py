"""Training on a task: accuracy and gradient norm against the sequences of training, a line for each seed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm_jax.plotting.style import GREY, legend_below, new_figure, paper_style, run_lines, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Endings of the figures that can be drawn.
FIGURES = (".png", ".pdf", ".svg")


def task_training(result: dict[str, Any], path: Path) -> None:
    """Draw the measurements of a training on a task.

    Args:
        result: the results that ``rnnlm-jax task`` writes, with their ``history``.
        path: PNG, PDF or SVG file to write.
    """
    save(draw_task_training(result), path)


@paper_style()
def draw_task_training(result: dict[str, Any]) -> "Figure":
    """Return the figure of ``task_training``."""
    figure = new_figure(height=3.2)
    above, below = figure.subplots(1, 2)
    history, handles = result["history"], []
    sequences = [record["sequences"] for record in history]
    for k, (seed, line) in enumerate(zip(result["seeds"], run_lines(len(result["seeds"])), strict=True)):
        accuracies = [_number(record["accuracy"][k]) for record in history]
        norms = [_number(record["grad_norm"][k]) for record in history]
        handles += above.plot(sequences, accuracies, lw=1, marker="o", ms=2, label=f"seed {seed}", **line)
        below.plot(sequences, norms, lw=1, marker="o", ms=2, **line)
    for value, name in ((result["solved_accuracy"], "solved"), (result["chance_accuracy"], "chance")):
        above.axhline(value, color=GREY, lw=0.7, ls=":")
        above.annotate(name, (0, value), xycoords=("axes fraction", "data"), color=GREY, va="bottom", fontsize=7)
    above.set(xlabel="sequences of training", ylabel=f"accuracy (share of {result['judged']})", ylim=(-0.02, 1.06))
    below.set(xlabel="sequences of training", ylabel="gradient norm (geometric mean)", yscale="log")
    figure.suptitle(f"{result['task']}, length {result['length']}")
    legend_below(figure, handles)
    return figure


def _number(value: float | None) -> float:
    """Return NaN, which is not drawn, for None."""
    return float("nan") if value is None else value
