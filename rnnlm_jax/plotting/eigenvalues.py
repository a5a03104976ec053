"""Eigenvalues of step Jacobians in the complex plane: what stands on the unit circle is remembered."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import UserError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.saving import save
from rnnlm_jax.plotting.style import BLUE, new_figure, paper_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    opaque = 0.25 if shown.size > 1000 else 0.5
    axes.plot(np.real(shown), np.imag(shown), ".", color=BLUE, alpha=opaque, ms=5, mew=0, rasterized=True)
    reach = 1.08 * max(1.0, float(np.abs(shown).max(initial=0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$")
    axes.set_aspect("equal")
    axes.set_title(f"{measured.name}: {len(values)} places\n{_radius(values)}")
    return figure


def _radius(values: np.ndarray) -> str:
    """The spectral radius: its median over places, and how far it reaches."""
    radii = np.abs(values).max(axis=1)
    return rf"spectral radius: median {np.median(radii):.4g} (from {radii.min():.4g} to {radii.max():.4g})"
