"""The figures of the study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.deep_networks.networks import ACTIVATIONS, VARIANTS
from experiments.deep_networks.spirals import ARMS
from rnnlm_jax.plotting.style import GREY, PALETTE, legend_below, new_figure, paper_style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = dict[str, Any]
COLOURS = dict(zip(VARIANTS, PALETTE, strict=False))


@paper_style()
def draw_gradients(results: Sequence[Result]) -> "Figure":
    """Return norms of the gradient by layer of the deepest networks: by activations above, by weights below."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=5.0)
    panels = figure.subplots(2, len(names := activations_of(results)), squeeze=False, sharex=True)
    for (above, below), name in zip(panels.T, names, strict=True):
        for result in of_activation(results, name):
            colour = COLOURS[result["variant"]]
            gradients = in_decades(result["log_gradient_of_activations"])
            layers = np.arange(len(gradients))
            above.plot(layers, gradients - gradients[-1], color=colour, lw=1.4)
            above.plot(layers, theory_in_decades(result), color="black", lw=0.8, ls="--")
            below.plot(layers[1:], in_decades(result["log_gradient_of_weights"]), color=colour, lw=1.4)
        above.set_title(name)
        below.set_xlabel(r"layer $\ell$")
    panels[0, 0].set_ylabel(r"$\log_{10}\,\Vert\partial E/\partial h_\ell\Vert\,/\,\Vert\partial E/\partial h_L\Vert$")
    panels[1, 0].set_ylabel(r"$\log_{10}\,\Vert\partial E/\partial W_\ell\Vert$")
    theory: Artist = Line2D([], [], color="black", lw=0.8, ls="--", label="mean-field theory")
    legend_below(figure, [*variant_lines(results), theory])
    return figure


def theory_in_decades(result: Result) -> np.ndarray:
    """Return the logarithm to base 10 of the gradient's norm at ``h_0`` to ``h_L``, relative to that at ``h_L``."""
    factors = np.array(result["theory_log_factors"])[::-1]
    return np.concatenate([[0.0], np.cumsum(factors)])[::-1] / (2 * np.log(10))


@paper_style()
def draw_spectra(results: Sequence[Result]) -> "Figure":
    """Return log singular values of the products of layer Jacobians by depth, a panel for each network."""
    from matplotlib.lines import Line2D

    names, variants = activations_of(results), [name for name in VARIANTS if any(r["variant"] == name for r in results)]
    figure = new_figure(height=1.1 + 1.5 * len(names))
    panels = figure.subplots(len(names), len(variants), squeeze=False, sharex=True, sharey="row")
    for row, name in zip(panels, names, strict=True):
        for axes, variant in zip(row, variants, strict=True):
            draw_spectrum(axes, [r for r in results if (r["activation"], r["variant"]) == (name, variant)])
            if axes is panels[0][variants.index(variant)]:
                axes.set_title(VARIANTS[variant].label.replace(", ", ",\n"), fontsize=8)
        row[0].set_ylabel(f"{name}\n" + r"$\log_{10}\sigma$")
    for axes in panels[-1]:
        axes.set_xlabel(r"depth $\ell$")
    lines = [
        Line2D([], [], color="#56B4E9", lw=0.6, label="each singular value, one network"),
        Line2D([], [], color="#0072B2", lw=1.8, label="root mean square, mean of networks"),
        Line2D([], [], color="black", lw=0.9, ls="--", label="mean-field theory"),
    ]
    legend_below(figure, lines)
    return figure


def draw_spectrum(axes: "Axes", results: Sequence[Result]) -> None:
    """Draw the singular values of one kind of network."""
    for result in results:
        depths = result["recipe"]["depths"]
        values = np.array(result["log_singular_values"], float) / np.log(10)
        axes.plot(depths, values, color="#56B4E9", lw=0.35)
        axes.plot(depths, in_decades(result["root_mean_square_log_singular_value"]), color="#0072B2", lw=1.8)
        theory = np.cumsum(result["theory_log_factors"]) / (2 * np.log(10))
        axes.plot(np.arange(1, len(theory) + 1), theory, color="black", lw=0.9, ls="--")


@paper_style()
def draw_learning(results: Sequence[Result]) -> "Figure":
    """Return test accuracy by depth above the movement of the first layer's weights."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=4.6)
    panels = figure.subplots(2, len(names := activations_of(results)), squeeze=False, sharex=True, sharey="row")
    for (above, below), name in zip(panels.T, names, strict=True):
        for result in of_activation(results, name):
            look = {"color": COLOURS[result["variant"]], "marker": ".", "lw": 1.2}
            depths = result["recipe"]["depths"]
            parts = [result["depths"][str(depth)] for depth in depths]
            accuracy = np.array([part["accuracy"] for part in parts])
            above.plot(depths, accuracy.mean(axis=1), **look)
            above.fill_between(
                depths, accuracy.min(axis=1), accuracy.max(axis=1), color=look["color"], alpha=0.15, lw=0
            )
            below.plot(depths, [max(part["movement"][0], 1e-9) for part in parts], **look)
        above.axhline(1 / ARMS, color=GREY, lw=0.8, ls=":")
        above.set(title=name, ylim=(0.25, 1.02))
        below.set(xscale="log", yscale="log", xlabel="depth", xticks=depths_of(results))
        below.set_xticklabels([str(depth) for depth in depths_of(results)])
        below.minorticks_off()
    panels[0, 0].set_ylabel("test accuracy")
    panels[1, 0].set_ylabel(r"$\Vert W_1 - W_1^0\Vert\,/\,\Vert W_1^0\Vert$")
    legend_below(figure, [*variant_lines(results), Line2D([], [], color=GREY, lw=0.8, ls=":", label="chance")])
    return figure


@paper_style()
def draw_probes(results: Sequence[Result]) -> "Figure":
    """Return the accuracy of linear probes by layer of the deepest networks, before and after training."""
    from matplotlib.lines import Line2D

    figure = new_figure(height=3.2)
    panels = figure.subplots(1, len(names := activations_of(results)), squeeze=False, sharey=True)[0]
    depth = str(depths_of(results)[-1])
    for axes, name in zip(panels, names, strict=True):
        for result in of_activation(results, name):
            trained = result["depths"][depth]
            layers = np.arange(len(trained["probe_after"]))
            colour = COLOURS[result["variant"]]
            axes.plot(layers, trained["probe_before"], color=colour, lw=0.8, ls="--")
            axes.plot(layers, trained["probe_after"], color=colour, lw=1.4)
        axes.axhline(1 / ARMS, color=GREY, lw=0.8, ls=":")
        axes.set(title=name, xlabel=r"layer $\ell$", ylim=(0.25, 1.02))
    panels[0].set_ylabel("accuracy of a linear probe")
    lines = [Line2D([], [], color=GREY, lw=1.4, label="trained"), Line2D([], [], color=GREY, lw=0.8, ls="--")]
    lines[1].set_label("at initialisation")
    legend_below(figure, variant_lines(results), [*lines, Line2D([], [], color=GREY, lw=0.8, ls=":", label="chance")])
    return figure


def in_decades(logs: Sequence[float | None]) -> np.ndarray:
    """Return natural logarithms in base 10; nan, which is not drawn, for logarithms of zero."""
    return np.array(logs, float) / np.log(10)


def activations_of(results: Sequence[Result]) -> list[str]:
    """Return the activations that have results."""
    return [name for name in ACTIVATIONS if any(result["activation"] == name for result in results)]


def of_activation(results: Sequence[Result], name: str) -> list[Result]:
    """Return the results of one activation."""
    return [result for result in results if result["activation"] == name]


def depths_of(results: Sequence[Result]) -> list[int]:
    """Return the depths of the networks."""
    return results[0]["recipe"]["depths"]


def variant_lines(results: Sequence[Result]) -> list["Artist"]:
    """Return the entries of a legend for the variants that have results."""
    from matplotlib.lines import Line2D

    found = [name for name in VARIANTS if any(result["variant"] == name for result in results)]
    return [Line2D([], [], color=COLOURS[name], lw=1.4, label=VARIANTS[name].label) for name in found]
