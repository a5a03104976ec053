"""Eigenvalues of step Jacobians in the complex plane: what stands on the unit circle is remembered."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import UserError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.saving import save
from rnnlm_jax.plotting.style import BLUE, legend_below, new_figure, paper_style, run_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Up to so many places have a colour and a mark of their own.
FEW = 6
MARKS = "os^vD<"


def eigenvalues(folder: Path, path: Path) -> None:
    """Draw the eigenvalues of one step's Jacobian, of each of several places, with the unit circle.

    Args:
        folder: holds ``jacobians.npz`` and ``jacobians.json``.
        path: the PNG (or PDF, SVG) to write.

    Raises:
        UserError: if the folder holds no eigenvalues.
    """
    save(draw_eigenvalues(read_measurement(folder)), path)


@paper_style()
def draw_eigenvalues(measured: Measurement) -> "Figure":
    """The figure of ``eigenvalues``."""
    from matplotlib.patches import Circle

    if "step_eigenvalues" not in measured.arrays:
        raise UserError(f"there are no eigenvalues in {measured.folder}: measure them, rnnlm-jax jacobians")
    values = measured.arrays["step_eigenvalues"]
    figure = new_figure(4, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color="black", lw=0.4, zorder=1)
    axes.axvline(0, color="black", lw=0.4, zorder=1)
    axes.add_patch(Circle((0, 0), 1, fill=False, lw=0.8, ec="black", zorder=1.5))
    shown = values[np.isfinite(values)]
    if 1 < len(values) <= FEW:
        for k, (each, look) in enumerate(zip(values, run_lines(len(values)), strict=True)):
            each = each[np.isfinite(each)]
            style = {"color": look["color"], "alpha": 0.7, "ms": 3.5, "mew": 0, "rasterized": True}
            axes.plot(np.real(each), np.imag(each), MARKS[k], label=f"place {k + 1}", **style)
    else:
        opaque = 0.25 if shown.size > 1000 else 0.5
        axes.plot(np.real(shown), np.imag(shown), ".", color=BLUE, alpha=opaque, ms=5, mew=0, rasterized=True)
    reach = 1.08 * max(1.0, float(np.abs(shown).max(initial=0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$")
    axes.set_aspect("equal")
    count = f"{len(values)} places" if len(values) > 1 else "1 place"
    # of the figure, which is wider than the square axes: a title of theirs would be cut off
    figure.suptitle("\n".join([*textwrap.wrap(f"{measured.name}: {count}", 44), *_radius(values)]))
    if handles := axes.get_legend_handles_labels()[0]:
        legend_below(figure, handles)
    return figure


def _radius(values: np.ndarray) -> list[str]:
    """The spectral radius: its median over places, and how far it reaches."""
    radii = np.abs(values).max(axis=1)
    return [f"spectral radius: median {np.median(radii):.4g}", f"(from {radii.min():.4g} to {radii.max():.4g})"]
