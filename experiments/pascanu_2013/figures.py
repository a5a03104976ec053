"""The figures of the study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.pascanu_2013.networks import INITIALISATIONS
from experiments.pascanu_2013.plan import CLIPPED, FIGURE, PUBLISHED_METHODS, REGULARIZED, SGD
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]

LOOKS: dict[str, Any] = {
    SGD: {"color": BLUE, "marker": "o", "ls": ":"},
    CLIPPED: {"color": VERMILION, "marker": "s", "ls": "--"},
    REGULARIZED: {"color": GREEN, "marker": "^", "ls": "-"},
}
LABELS = {SGD: "SGD", CLIPPED: "SGD-C: with clipping", REGULARIZED: "SGD-CR: with clipping and Ω"}
#: The initialisation whose gradient norms are drawn.
DRAWN = "smart-tanh"
#: Errors of 0 in a test are drawn at this one.
LEAST_ERROR = 1e-5


@paper_style()
def draw_success(results: Sequence[Result]) -> "Figure | None":
    """Return the paper's figure: the share of seeds that solve temporal order by length, a panel an initialisation."""
    from matplotlib.lines import Line2D

    found = [result for result in results if result["group"] == FIGURE]
    networks = [name for name in INITIALISATIONS if any(result["network"] == name for result in found)]
    if not networks:
        return None
    figure = new_figure(height=2.6)
    panels = figure.subplots(1, len(networks), squeeze=False, sharey=True)[0]
    lengths = sorted({result["length"] for result in found})
    for axes, network in zip(panels, networks, strict=True):
        for method in PUBLISHED_METHODS:
            points = [(r["length"], r["solved"]) for r in found if (r["network"], r["method"]) == (network, method)]
            points.sort(key=lambda point: point[0])
            shares = [100 * sum(solved) / len(solved) for _, solved in points]
            axes.plot([length for length, _ in points], shares, ms=5, clip_on=False, zorder=3, **LOOKS[method])
        axes.set(title=network.replace("-", " "), xlabel="length of sequences", xticks=lengths, ylim=(0, 103))
    panels[0].set_ylabel("solved (% of seeds)")
    legend_below(figure, [Line2D([], [], label=LABELS[method], **LOOKS[method]) for method in PUBLISHED_METHODS])
    return figure


@paper_style()
def draw_gradient_norms(results: Sequence[Result]) -> "Figure | None":
    """Return gradient norms before clipping through training: geometric means of intervals, a line for each seed."""
    from matplotlib.lines import Line2D

    found = [result for result in results if (result["group"], result["network"]) == (FIGURE, DRAWN)]
    if not found:
        return None
    lengths = sorted({result["length"] for result in found})
    figure = new_figure(height=2.1 * -(-len(lengths) // 2) + 0.5)
    panels = figure.subplots(-(-len(lengths) // 2), 2, squeeze=False, sharey=True).flatten()
    for axes in panels[len(lengths) :]:
        axes.set_visible(False)
    for axes, length in zip(panels, lengths, strict=False):
        for result in (result for result in found if result["length"] == length):
            history, look = result["history"], LOOKS[result["method"]] | {"marker": ""}
            thousands = [count / 1000 for count in history["sequences"]]
            for k in range(len(result["seeds"])):
                axes.plot(thousands, [drawable(part[k]) for part in history["grad_norm"]], lw=0.9, **look)
        axes.set(title=f"L = {length}", yscale="log", xlabel="thousands of sequences")
    for axes in panels[: len(lengths) : 2]:
        axes.set_ylabel("gradient norm")
    lines = [Line2D([], [], label=LABELS[method], **LOOKS[method] | {"marker": ""}) for method in PUBLISHED_METHODS]
    legend_below(figure, lines)
    return figure


@paper_style()
def draw_error_by_length(results: Sequence[Result]) -> "Figure | None":
    """Return the error of models for a range of lengths by the length of the test, a line for each seed."""
    from matplotlib.lines import Line2D

    found = [result for result in results if result["long_tests"]]
    if not found:
        return None
    figure = new_figure(height=3.2)
    axes = figure.subplots()
    looks = run_lines(len(found))
    for result, look in zip(found, looks, strict=True):
        lengths = sorted(map(int, result["long_tests"]))
        for k in range(len(result["seeds"])):
            errors = [max(result["long_tests"][str(length)][k], LEAST_ERROR) for length in lengths]
            axes.plot(lengths, errors, lw=1, marker="o", ms=3, **look)
    first = found[0]
    longest, shortest = first["length"], first["task_options"]["shortest"]
    axes.axvspan(shortest, longest, color=GREY, alpha=0.12, lw=0)
    axes.axhline(0.01, color=GREY, lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="length of sequences", ylabel="error", ylim=(LEAST_ERROR * 0.8, 1))
    names = [f"{result['network']}, {result['method']}" for result in found]
    lines = [Line2D([], [], label=name, **look) for name, look in zip(names, looks, strict=True)]
    lines += [Line2D([], [], color=GREY, lw=6, alpha=0.3, label="lengths of training")]
    legend_below(figure, [*lines, Line2D([], [], color=GREY, lw=0.8, ls=":", label="1 %")])
    return figure


def drawable(value: float | None) -> float:
    """Return NaN, which is not drawn, for None and for 0, which a logarithmic axis does not have."""
    return value or float("nan")
