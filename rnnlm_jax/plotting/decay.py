"""Decay of a gradient back through time: its norm by lag, over the positions of a text."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.relative_norms import RelativeNorms, line, magnitude, relative_norms
from rnnlm_jax.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    legend_below,
    mark_horizons,
    new_figure,
    paper_style,
    save,
    threshold,
    threshold_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Lower limit of the y axis, relative to the norm at lag 0; its inverse is the upper limit.
FLOOR = 1e-12

#: Part -> colour, dashes, legend text.
CURVES = {
    "hidden": (BLUE, "-", r"hidden state, $\partial J_i/\partial h_{i-\ell}$"),
    "cell": (VERMILION, "-", r"cell state, $\partial J_i/\partial c_{i-\ell}$"),
    "inputs": (GREEN, "-", r"input, $\partial J_i/\partial x_{i-\ell}$"),
    "carousel": (PURPLE, "--", "direct path alone (carousel)"),
}
#: Array of a bound -> dashes, formula.
BOUNDS = {
    "log_bound_sigma": ((0, (1, 1.2)), r"(\gamma\,\sigma_{\max}(W_h))^\ell"),
    "log_bound_rho": ((0, (1, 3.2)), r"\rho(W_h)^\ell"),
}
#: Threshold -> marker of its horizon.
MARKERS = {"1/e": "o", "1%": "s"}


def decay_curves(folder: Path, path: Path) -> None:
    """Draw the mean norm of the gradient of a position's loss with respect to earlier states, by lag.

        Σ_i ‖∂J_i/∂s_{i-ℓ}‖ / Σ_i ‖∂J_i/∂s_i‖    for the hidden state, the cell state and the input

    A part without a gradient at lag 0 is relative to its first lag with one. The bands reach from the 10 % to the 90 %
    quantile of single positions; dots and squares mark the horizons.

    Args:
        folder: folder with ``jacobians.npz`` and ``jacobians.json``.
        path: PNG, PDF or SVG file to write.

    Raises:
        DataError: if the folder has no norms by lag.
    """
    save(draw_decay_curves(read_measurement(folder)), path)


@paper_style()
def draw_decay_curves(measured: Measurement) -> "Figure":
    """Return the figure of ``decay_curves``."""
    from matplotlib.ticker import MaxNLocator

    norms = {part: relative_norms(a) for part in CURVES if (a := measured.arrays.get(f"log_norm_{part}")) is not None}
    if not norms:
        raise DataError(f"{measured.folder} has no norms by lag: measure them, rnnlm-jax jacobians")
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    lag = measured.arrays["lag"]
    for part, curve in norms.items():
        _draw_curve(axes, part, curve, lag=lag, horizons=measured.horizons(part))
    low, high = _limits(list(norms.values()))
    last = _last_shown(list(norms.values()), lag, low)
    for key, (dashes, formula) in BOUNDS.items():
        if key in measured.arrays:
            logs = np.asarray(measured.arrays[key], np.float64)
            label = rf"${formula} = {np.exp(logs[1]):.3g}^\ell$" if len(logs) > 1 else f"${formula}$"
            label += _leaving(logs[: last + 1], low, high)
            axes.plot(lag, line(logs), color=GREY, ls=dashes, lw=1.2, label=label, zorder=1.5)
    for name in MARKERS:
        axes.axhline(threshold(name), color=GREY, lw=0.5, zorder=1)
        axes.text(
            1.01,
            threshold(name),
            threshold_label(name),
            transform=axes.get_yaxis_transform(),
            va="center",
            color=GREY,
            size=8,
        )
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_xlim(0, lag[last])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    count = len(measured.arrays[f"log_norm_{next(iter(norms))}"])
    axes.set(
        xlabel=r"lag $\ell$ (steps)"
        + (f"; from there to {lag[-1]} all curves are below" if last < len(lag) - 1 else ""),
        ylabel="norm, relative to the mean at the first lag",
        title=f"{measured.name}: mean over {count} positions, and 10 % to 90 % quantiles",
    )
    entries = axes.get_legend_handles_labels()[0]
    legend_below(figure, entries[: len(norms)], entries[len(norms) :])
    return figure


def _draw_curve(
    axes: "Axes", part: str, norms: RelativeNorms, *, lag: np.ndarray, horizons: dict[str, int | None]
) -> None:
    """Draw a part's mean and band, and mark its horizons on the curve and in the legend."""
    colour, dashes, label = CURVES[part]
    lag = lag[: len(norms.mean)]
    reached = [
        f"{threshold_label(name)} " + (f"beyond {lag[-1]}" if horizon is None else f"at {horizon}")
        for name, horizon in horizons.items()
    ]
    if norms.first and part != "carousel":
        label += f" (from lag {norms.first})"
    label = f"{label}: {', '.join(reached)}" if reached else label
    axes.plot(lag, line(norms.mean), color=colour, ls=dashes, lw=1.5, label=label)
    if part != "carousel":
        axes.fill_between(lag, magnitude(norms.low), line(norms.high), color=colour, alpha=0.15, lw=0)
    mark_horizons(axes, horizons, MARKERS, x=lag, y=line(norms.mean), colour=colour)


def _last_shown(norms: list[RelativeNorms], lag: np.ndarray, low: float) -> int:
    """Return the index at which the x axis ends, a little beyond the last point of a mean or band on the axes."""
    reached = [np.flatnonzero(np.fmax(each.mean, each.high) >= np.log(low)) for each in norms]
    last = max((int(each[-1]) for each in reached if each.size), default=len(lag) - 1)
    shown = max(last + 1, round(1.1 * last), 2)
    return len(lag) - 1 if shown > 0.8 * (len(lag) - 1) else shown


def _leaving(logs: np.ndarray, low: float, high: float) -> str:
    """Return a legend text on where a bound leaves the axes."""
    outside = np.flatnonzero((logs > np.log(high)) | (logs < np.log(low)))
    if not outside.size:
        return ""
    return f", {'above' if logs[outside[0]] > 0 else 'below'} the axis from lag {outside[0]}"


def _limits(norms: list[RelativeNorms]) -> tuple[float, float]:
    """Return the limits of the y axis: just around the means and bands, within ``FLOOR`` and its inverse."""
    logs = np.concatenate([np.concatenate([n.mean, n.low, n.high]) for n in norms])
    finite = magnitude(logs[np.isfinite(logs)])
    low, high = (finite.min(), finite.max()) if finite.size else (1.0, 1.0)
    return float(np.clip(low / 2, FLOOR, 3e-3)), float(np.clip(high * 2, 2.0, 1 / FLOOR))
