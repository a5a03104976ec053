"""Eigenvalues of step Jacobians in the complex plane, with the unit circle."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.style import BLUE, legend_below, new_figure, paper_style, run_lines, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Markers of single positions; with more positions than markers, all eigenvalues look the same.
MARKERS = "os^vD<"
#: With more eigenvalues than this, the points are more transparent.
MANY_POINTS = 1000


def eigenvalues(folder: Path, path: Path) -> None:
    """Draw the eigenvalues of the step Jacobian at each of several positions of a text.

    Args:
        folder: folder with ``jacobians.npz`` and ``jacobians.json``.
        path: PNG, PDF or SVG file to write.

    Raises:
        DataError: if the folder has no eigenvalues.
    """
    save(draw_eigenvalues(read_measurement(folder)), path)


@paper_style()
def draw_eigenvalues(measured: Measurement) -> "Figure":
    """Return the figure of ``eigenvalues``."""
    from matplotlib.patches import Circle

    if "step_eigenvalues" not in measured.arrays:
        raise DataError(f"{measured.folder} has no eigenvalues: measure them, rnnlm-jax jacobians")
    values = measured.arrays["step_eigenvalues"]
    figure = new_figure(4, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color="black", lw=0.4, zorder=1)
    axes.axvline(0, color="black", lw=0.4, zorder=1)
    axes.add_patch(Circle((0, 0), 1, fill=False, lw=0.8, ec="black", zorder=1.5))
    shown = values[np.isfinite(values)]
    if 1 < len(values) <= len(MARKERS):
        for k, (each, look) in enumerate(zip(values, run_lines(len(values)), strict=True)):
            each = each[np.isfinite(each)]
            style = {"color": look["color"], "alpha": 0.7, "ms": 3.5, "mew": 0, "rasterized": True}
            axes.plot(np.real(each), np.imag(each), MARKERS[k], label=f"place {k + 1}", **style)
    else:
        alpha = 0.25 if shown.size > MANY_POINTS else 0.5
        axes.plot(np.real(shown), np.imag(shown), ".", color=BLUE, alpha=alpha, ms=5, mew=0, rasterized=True)
    reach = 1.08 * max(1.0, float(np.abs(shown).max(initial=0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$")
    axes.set_aspect("equal")
    count = f"{len(values)} places" if len(values) > 1 else "1 place"
    # A title of the figure, because the square axes are narrower and would cut it off.
    figure.suptitle("\n".join([*textwrap.wrap(f"{measured.name}: {count}", 44), *_radius(values)]))
    if handles := axes.get_legend_handles_labels()[0]:
        legend_below(figure, handles)
    return figure


def _radius(values: np.ndarray) -> list[str]:
    """Return lines with the median and the range of the spectral radius over positions."""
    radii = np.abs(values).max(axis=1)
    return [f"spectral radius: median {np.median(radii):.4g}", f"(from {radii.min():.4g} to {radii.max():.4g})"]
