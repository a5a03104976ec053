"""The figures of the study: errors by position, and the tree of words."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.elman_1990.bits import CONSONANTS, CYCLE, FALSE_ALARMS
from experiments.elman_1990.recipes import LABELS
from experiments.elman_1990.sentences import KINDS
from rnnlm_jax.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    legend_below,
    new_figure,
    paper_style,
    run_lines,
)
from rnnlm_jax.tasks.elman_sentences import WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = dict[str, Any]
ERROR = "root mean squared error"
#: Colours of the kinds of words.
COLOURS = {"verb": VERMILION, "animate": BLUE, "inanimate": GREEN}


@paper_style()
def draw_xor(results: Sequence[Result]) -> "Figure":
    """Return a panel for each network: error over twelve consecutive bits, a thin line for each seed and their mean."""
    figure = new_figure(height=2.4)
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    steps = np.arange(1, CYCLE + 1)
    for axes, result in zip(panels, results, strict=True):
        errors = np.sqrt(result["error_by_step"])
        axes.plot(steps, errors.T, color=GREY, lw=0.6, alpha=0.6)
        axes.plot(steps, np.sqrt(np.mean(result["error_by_step"], axis=0)), color=BLUE, marker="o", ms=4, lw=1.2)
        for step in steps[2::3]:
            axes.axvline(step, color=VERMILION, lw=0.6, ls=":")
        axes.set(title=LABELS[result["network"]], xlabel="bit", xticks=steps[2::3], ylim=(0, None))
    panels[0].set_ylabel(ERROR)
    legend_below(figure, seeds_and_mean(VERMILION, "every third bit: the XOR of the two before"))
    return figure


@paper_style()
def draw_letters(results: Sequence[Result]) -> "Figure":
    """Return errors along a new stream by the first seed's networks: of the whole letter, and of two of its bits."""
    figure = new_figure(height=4.6)
    rows = figure.subplots(3, 1, sharex=True, sharey=True)
    titles = ("all six bits", "bit 1: is it a consonant?", "bit 4: is it high?")
    looks, text = run_lines(len(results)), results[0]["shown"]["text"]
    for axes, title, bit in zip(rows, titles, (None, 0, 3), strict=True):
        for result, look in zip(results, looks, strict=True):
            shown = result["shown"]
            error = shown["error"] if bit is None else np.array(shown["bits"])[:, bit]
            axes.plot(error, marker="o", ms=3, lw=1.0, label=LABELS[result["network"]], **look)
        mark_letters(axes, text, [letter in CONSONANTS for letter in text])
        axes.set(title=title, ylim=(0, None))
    rows[1].set_ylabel(ERROR)
    rows[2].set_xlabel("letter that is predicted; consonants in bold")
    legend_below(figure, rows[0].get_legend_handles_labels()[0])
    return figure


@paper_style()
def draw_words(results: Sequence[Result]) -> "Figure":
    """Return errors along a new stream, errors by place in the word, and what a threshold on the error finds."""
    figure = new_figure(height=4.6)
    grid = figure.add_gridspec(2, 2)
    stream = figure.add_subplot(grid[0, :])
    left, right = (figure.add_subplot(grid[1, column]) for column in (0, 1))
    for result, look in zip(results, run_lines(len(results)), strict=True):
        shown, label = result["shown"], LABELS[result["network"]]
        stream.plot(shown["error"], marker="o", ms=3, lw=1.0, label=label, **look)
        by_place = np.array(result["error_by_place"])
        left.plot(range(1, by_place.shape[1] + 1), by_place.T, color=look["color"], lw=0.5, alpha=0.4)
        left.plot(range(1, by_place.shape[1] + 1), by_place.mean(axis=0), marker="o", ms=3, **look)
        right.plot(FALSE_ALARMS, np.mean(result["roc"], axis=0), **look)
    mark_letters(stream, results[0]["shown"]["text"], [place == 0 for place in results[0]["shown"]["places"]])
    stream.set(xlabel="letter that is predicted; first letters of words in bold", ylabel=ERROR, ylim=(0, None))
    left.set(xlabel="place of the letter in its word", ylabel=ERROR, ylim=(0, None))
    right.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    right.set(xlabel="other letters above the threshold", ylabel="beginnings found", xlim=(0, 1), ylim=(0, 1.02))
    legend_below(figure, stream.get_legend_handles_labels()[0])
    return figure


@paper_style()
def draw_sentences(results: Sequence[Result]) -> "Figure":
    """Return for each network the tree of words: Ward's linkage of mean states after each word, of the first seed."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=4.8)
    for axes, result in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        draw_tree(axes, np.array(result["tree"]))
        axes.set(title=LABELS[result["network"]], xlabel="distance")
    names = {"animate": "animate nouns", "inanimate": "inanimate nouns", "verb": "verbs"}
    legend_below(figure, [Line2D([], [], color=COLOURS[kind], lw=4, label=name) for kind, name in names.items()])
    return figure


def draw_tree(axes: "Axes", tree: np.ndarray) -> None:
    """Draw a tree of words with its root on the left."""
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, labels=list(WORDS), no_plot=True)
    for across, along in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        axes.plot(along, across, color=GREY, lw=0.9)
    axes.set_yticks([5 + 10 * k for k in range(len(WORDS))], drawn["ivl"])
    axes.yaxis.tick_right()
    for label in axes.get_yticklabels():
        label.set_color(COLOURS[KINDS[WORDS.index(label.get_text())]])
    axes.set_xlim(1.03 * tree[-1, 2], 0)
    axes.set_ylim(0, 10 * len(WORDS))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def mark_letters(axes: "Axes", text: str, bold: Sequence[bool]) -> None:
    """Write letters below an axis, some in bold, with a line at each of those."""
    axes.set_xlim(-0.5, len(text) - 0.5)
    axes.set_xticks(range(len(text)), list(text))
    for label, heavy in zip(axes.get_xticklabels(), bold, strict=False):  # panels above others have no labels
        label.set_fontweight("bold" if heavy else "normal")
    for k, heavy in enumerate(bold):
        if heavy:
            axes.axvline(k, color=GREY, lw=0.5, ls=":")


def seeds_and_mean(colour: str, marked: str) -> list[Any]:
    """Return the entries of a legend: seeds, their mean, and vertical lines."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=GREY, lw=0.6, label="seeds"),
        Line2D([], [], color=BLUE, marker="o", ms=4, label="mean"),
    ]
    return [*lines, Line2D([], [], color=colour, lw=0.8, ls=":", label=marked)]


#: Experiment -> file, function and description of its figure.
FIGURES: dict[str, tuple[str, Callable[[Sequence[Result]], "Figure"], str]] = {
    "xor": ("xor.png", draw_xor, "error over twelve consecutive bits of temporal XOR"),
    "letters": ("letters.png", draw_letters, "error along a stream of letters, of all bits and of two of them"),
    "words": (
        "words.png",
        draw_words,
        "error along words without breaks, by place in the word, and what a threshold finds",
    ),
    "sentences": ("tree.png", draw_sentences, "tree of words by the mean states of the hidden units"),
}
