"""Accuracy on minimal pairs by distance, a line for each model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting.style import GREY, legend_below, new_figure, paper_style, run_lines, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def pair_accuracy(models: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the accuracy of models by distance, with intervals of 95 % confidence; chance is a dotted line.

    Args:
        models: figures of each model, ``models`` of the JSON of ``rnnlm-jax pairs``.
        path: PNG, PDF or SVG file to write.

    Raises:
        DataError: if there is no model, or the distances of two models have different meanings.
    """
    save(draw_pair_accuracy(models), path)


@paper_style()
def draw_pair_accuracy(models: Sequence[Mapping[str, Any]]) -> "Figure":
    """Return the figure of ``pair_accuracy``."""
    from matplotlib.lines import Line2D

    figure = new_figure(7.0, 3.4)
    lines = draw_accuracies_by_distance(figure.add_subplot(), models)
    legend_below(figure, [*lines, Line2D([], [], color=GREY, lw=0.8, ls=":", label="chance")])
    return figure


def draw_accuracies_by_distance(axes: "Axes", models: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Draw a line for each model into axes, and return the entries of a legend.

    Raises:
        DataError: as ``pair_accuracy``.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    meanings = {model["distance"] for model in models}
    if len(meanings) != 1:
        raise DataError(f"models have distances of {len(meanings)} meanings: draw those of one")
    entries: list[Any] = []
    for model, look in zip(models, run_lines(len(models)), strict=True):
        bins = model["distance_bins"]
        x = np.array([part["mean"] for part in bins])
        y = np.array([part["accuracy"] for part in bins])
        low, high = np.array([part["interval"] for part in bins]).T
        axes.errorbar(x, y, [y - low, high - y], lw=1.4, elinewidth=0.6, marker="o", ms=3, **look, alpha=0.9)
        entries.append(Line2D([], [], lw=1.4, marker="o", ms=3, label=model["model"], **look))
    axes.axhline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set(xlabel=meanings.pop(), ylabel="accuracy", ylim=(0.0 if _below(models) else 0.4, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    return entries


def _below(models: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether an accuracy is too low for an axis from 0.4 on."""
    return any(part["interval"][0] < 0.4 for model in models for part in model["distance_bins"])
