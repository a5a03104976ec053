"""The figures of the study: accuracy by words read and by distance, beside the horizons of gradients."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.plotting.pair_accuracy import draw_accuracies_by_distance
from rnnlm_jax.plotting.style import GREY, legend_below, new_figure, paper_style, run_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rules of thumb for the words that a simple recurrent network and an LSTM use.
RULES = (7, 100)


@paper_style()
def draw_agreement(english: Sequence[Mapping[str, Any]]) -> "Figure":
    """Return two panels: accuracy on Linzen's pairs by number of words read, and across phrases by distance.

    A diamond on a network's line of the left panel is at the lag where its gradient has fallen to 1 %.
    """
    from matplotlib.lines import Line2D

    figure = new_figure(7.0, 3.4)
    left, right = figure.subplots(1, 2)
    entries: list[Any] = []
    for result, look in zip(english, run_lines(len(english)), strict=True):
        found = {int(words): part["accuracy"] for words, part in result["linzen_by_context"].items()}
        x, y = np.array(list(found)), np.array(list(found.values()))
        left.plot(x, y, lw=1.4, marker="o", ms=3, **look)
        left.axhline(result["linzen"]["accuracy"], lw=0.7, alpha=0.6, **look | {"ls": "--"})
        horizon = (result["horizons"] or {"gradient": {"1%": None}})["gradient"]["1%"]
        if horizon is not None and horizon <= x[-1]:
            left.plot(horizon, np.interp(horizon, x, y), "D", color=look["color"], mec="white", ms=6.5, zorder=3)
        for group, style in (("same number", "-"), ("other number", ":")):
            by_distance = result["agreement_at_a_distance"]["by_group"][group]["distances"]
            lengths = [int(length) for length in by_distance]
            shares = [part["accuracy"] for part in by_distance.values()]
            right.plot(lengths, shares, lw=1.4, marker="o", ms=3, **look | {"ls": style})
        entries.append(Line2D([], [], lw=1.4, label=result["model"], **look))
    for axes in (left, right):
        axes.axhline(0.5, color=GREY, lw=0.8, ls=":")
    left.set(xlabel="words read before the verb", ylabel="accuracy", title="Linzen et al.", xlim=(-0.5, None))
    right.set(xlabel="words from subject to verb", title="across phrases", ylim=(-0.02, 1.02))
    marks = [
        Line2D([], [], color=GREY, lw=0.7, ls="--", label="all words read"),
        Line2D([], [], color=GREY, marker="D", ls="", mec="white", ms=6.5, label="gradient at 1 %"),
        Line2D([], [], color=GREY, lw=1.4, label="nouns between of the same number"),
        Line2D([], [], color=GREY, lw=1.4, ls=":", label="of the other number"),
    ]
    legend_below(figure, entries, marks)
    return figure


@paper_style()
def draw_particles(german: Sequence[Mapping[str, Any]]) -> "Figure":
    """Return the accuracy of the particle of German verbs by distance from the verb."""
    from matplotlib.lines import Line2D

    figure = new_figure(7.0, 3.2)
    axes = figure.add_subplot()
    entries = draw_accuracies_by_distance(axes, [result["pairs"] | {"model": result["model"]} for result in german])
    axes.set_xlabel("words from the verb to its particle")
    for words in RULES:
        if words < axes.get_xlim()[1]:
            axes.axvline(words, color="#BBBBBB", lw=0.8, zorder=1)
    rule = Line2D([], [], color="#BBBBBB", lw=0.8, label="rule of thumb, 7 words for a simple network")
    legend_below(figure, [*entries, rule, Line2D([], [], color=GREY, lw=0.8, ls=":", label="chance")])
    return figure
