"""Phase diagrams: measured Lyapunov exponents in colour, the edge of chaos by theory as a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.plotting.style import legend_below, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Endings of the figures that can be drawn.
FIGURES = (".png", ".pdf", ".svg")

LABELS = {
    "input_variance": "variance of the input $\\sigma_x^2$",
    "bias_variance": "variance of the biases $\\sigma_b^2$",
    "forget_bias": "bias of the forget gate",
    "update_bias": "bias of the update gate",
    "reset_bias": "bias of the reset gate",
}


def phase_diagram(diagram: Mapping[str, Any], path: Path) -> None:
    """Draw a phase diagram.

    Args:
        diagram: the JSON of ``rnnlm-jax phase-diagram``.
        path: PNG, PDF or SVG file to write.
    """
    save(draw_phase_diagram(diagram), path)


@paper_style()
def draw_phase_diagram(diagram: Mapping[str, Any]) -> "Figure":
    """Return the figure of ``phase_diagram``."""
    points, axis = diagram["points"], diagram["axis"]
    figure = new_figure(5.2, 4.0)
    axes = figure.add_subplot()
    known = [point for point in points if point["exponent"] is not None]
    exponents = np.array([point["exponent"] for point in known])
    largest = max(float(np.abs(exponents).max(initial=0.0)), 1e-3)
    drawn = axes.scatter(
        [point["gain"] for point in known],
        [point["value"] for point in known],
        c=exponents,
        cmap="RdBu_r",
        vmin=-largest,
        vmax=largest,
        s=70,
        edgecolors="black",
        linewidths=0.4,
        label="one random network",
    )
    figure.colorbar(drawn, ax=axes, label="largest Lyapunov exponent (nats a step)")
    handles: list[Any] = [drawn]
    unknown = [point for point in points if point["exponent"] is None]
    if unknown:
        handles += axes.plot(
            [point["gain"] for point in unknown], [point["value"] for point in unknown], "kx", ms=5, label="not finite"
        )
    line = [(each["gain"], each["value"]) for each in diagram["critical"] if each["gain"] is not None]
    if line:
        handles += axes.plot(
            *np.transpose(line),
            color="black",
            lw=1.5,
            marker="." if len(line) == 1 else None,
            label="edge of chaos by theory",
        )
    axes.set(xlabel="gain $g$ of the recurrent weights", ylabel=LABELS[axis])
    axes.set_title(f"{diagram['cell']}, {diagram['units']} units")
    legend_below(figure, handles)
    return figure
