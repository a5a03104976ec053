"""Singular spectra of Jacobian products at several lags, with the Lyapunov exponents that they converge to."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting.measurements import Measurement, read_measurement
from rnnlm_jax.plotting.style import colour_bar, legend_below, new_figure, paper_style, save, sequential_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Largest number of sequences that are drawn one by one besides their median.
MAX_SINGLE_SEQUENCES = 8

#: Largest number of lags that have their own line in the note on values of -inf.
MAX_NOTE_LINES = 3

#: If exponents are below ``-FAR_DOWN`` nats per step, the y axis is logarithmic outside ``±LINEAR``.
FAR_DOWN, LINEAR = 2.0, 0.1

#: Largest number of Lyapunov exponents that are drawn, evenly spaced on a log axis, so that the curves stay visible.
MAX_EXPONENTS = 16

#: Dashes of values that are not trusted.
DOTTED = (0, (1, 1.2))
#: Colour of legend entries that stand for all lags.
ANY_LAG = "#555555"


def spectra(folder: Path, path: Path) -> None:
    """Draw the log singular values of the product of ℓ step Jacobians against their index, for each lag ℓ.

    The left panel shows exponents, ``1/ℓ ln σ_k`` in nats per step, with the Lyapunov exponents; the right panel shows
    ``ln σ_k`` in nats. Thick lines are medians over sequences. Values of -inf are counted in a note, not drawn.

    Args:
        folder: folder with ``jacobians.npz`` and ``jacobians.json``.
        path: PNG, PDF or SVG file to write.

    Raises:
        DataError: if the folder has no spectra.
    """
    save(draw_spectra(read_measurement(folder)), path)


@paper_style()
def draw_spectra(measured: Measurement) -> "Figure":
    """Return the figure of ``spectra``."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    arrays = measured.arrays
    if "log_singular_values" not in arrays:
        raise DataError(f"{measured.folder} has no singular values: measure them, rnnlm-jax jacobians")
    lags, logs = arrays["spectrum_lag"], np.asarray(arrays["log_singular_values"], np.float64)  # [S], [Q, S, n]
    count, _, n = logs.shape
    trusted = arrays["trusted"].min(axis=0) if "trusted" in arrays else np.full(len(lags), n)
    figure = new_figure()
    rates, raw = figure.subplots(1, 2)
    for s, colour in enumerate(sequential_colours(len(lags))):
        if lags[s] > 0:
            _draw_spectrum(rates, logs[:, s] / lags[s], colour, trusted[s])
        _draw_spectrum(raw, logs[:, s], colour, trusted[s])
    _draw_exponents(rates, arrays)
    rates.set(ylabel=r"$\frac{1}{\ell}\,\ln\,\sigma_k$ (nats a step)", title="exponents")
    raw.set(ylabel=r"$\ln\,\sigma_k(\partial s_{t+\ell}/\partial s_t)$ (nats)", title="log singular values")
    size = measured.facts.get("state_size", n)
    for axes in (rates, raw):
        axes.set_xlabel("index $k$" if size == n else f"index $k$, of {size}")
        axes.axhline(0, color="black", lw=0.5, zorder=1)
    _make_room_near_zero(rates)
    rates.set_xscale("log")  # room for the largest values, which dominate a gradient's norm
    rates.set_xlim(0.9, n / 0.9)
    rates.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    rates.xaxis.set_minor_formatter(NullFormatter())
    raw.set_xlim(1 - 0.02 * n, 1.02 * n)
    note = _infinities(logs, lags)
    raw.text(0.03, 0.03, note, transform=raw.transAxes, size=8, va="bottom")
    _legend_entries(rates, count, bool((trusted < n).any()))
    colour_bar(figure, [rates, raw], lags.tolist(), title=r"lag $\ell$ (steps)")
    figure.suptitle(measured.name)
    legend_below(figure, rates.get_legend_handles_labels()[0])
    return figure


def _make_room_near_zero(axes: "Axes") -> None:
    """Make the y axis logarithmic away from zero if exponents far below zero would flatten the others."""
    from matplotlib.ticker import FixedLocator, StrMethodFormatter

    low, high = axes.get_ylim()
    if low > -FAR_DOWN:
        return
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=1)
    ticks = [sign * digit * 10.0**power for power in range(-2, 6) for digit in (1, 3) for sign in (-1, 1)]
    axes.yaxis.set_major_locator(FixedLocator([0, *(t for t in ticks if abs(t) >= LINEAR)]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.set_ylim(1.3 * low, max(high, 2 * LINEAR))


def _draw_spectrum(axes: "Axes", logs: np.ndarray, colour: str, trusted: int) -> None:
    """Draw the spectra ``[Q, n]`` at one lag: their median, dotted where values are not trusted, and single ones."""
    shown = np.where(np.isneginf(logs), np.nan, logs)
    index = np.arange(1, logs.shape[1] + 1)
    if 1 < len(logs) <= MAX_SINGLE_SEQUENCES:
        axes.plot(index, shown.T, color=colour, lw=0.5, alpha=0.4)
    median = np.median(logs, axis=0)
    median = np.where(np.isneginf(median), np.nan, median)
    mark = "o" if len(index) <= 1 else None  # a single value has no line
    axes.plot(index[:trusted], median[:trusted], color=colour, lw=1.5, marker=mark, ms=4)
    if trusted < len(index):
        start = max(trusted - 1, 0)
        axes.plot(index[start:], median[start:], color=colour, lw=1.2, ls=DOTTED)


def _draw_exponents(axes: "Axes", arrays: dict[str, np.ndarray]) -> None:
    """Draw the Lyapunov exponents with their standard errors, if they were measured."""
    if "lyapunov_exponents" not in arrays:
        return
    exponents = np.asarray(arrays["lyapunov_exponents"], np.float64)
    errors = np.asarray(arrays.get("lyapunov_standard_errors", np.zeros_like(exponents)), np.float64)
    count = len(exponents)
    drawn, note = np.arange(count), ""
    if count > MAX_EXPONENTS:
        drawn = np.unique(np.geomspace(1, count, MAX_EXPONENTS).round().astype(int)) - 1
        note = f" ({len(drawn)} of {count})"
    axes.errorbar(
        drawn + 1,
        np.where(np.isneginf(exponents), np.nan, exponents)[drawn],
        yerr=np.where(np.isfinite(errors), errors, np.nan)[drawn],
        fmt="o",
        ms=2.8,
        mfc="white",
        mew=0.7,
        color="black",
        elinewidth=0.7,
        capsize=1.6,
        capthick=0.7,
        zorder=4,
        label=f"Lyapunov exponents{note} ± s.e.",
    )


def _legend_entries(axes: "Axes", sequences: int, dotted: bool) -> None:
    """Add legend entries for line styles in grey; colours stand for lags."""
    axes.plot([], [], color=ANY_LAG, lw=1.5, label=f"median of {sequences}" if sequences > 1 else "one sequence")
    if 1 < sequences <= MAX_SINGLE_SEQUENCES:
        axes.plot([], [], color=ANY_LAG, lw=0.5, alpha=0.6, label="single sequences")
    if dotted:
        axes.plot([], [], color=ANY_LAG, lw=1.2, ls=DOTTED, label="not vouched for")


def _infinities(logs: np.ndarray, lags: np.ndarray) -> str:
    """Return a note on how many values of the medians are -inf and not drawn."""
    n = logs.shape[2]
    counts = np.isneginf(np.median(logs, axis=0)).sum(axis=1)
    with_infinities = np.flatnonzero(counts)
    if not with_infinities.size:
        return ""
    if with_infinities.size == len(counts) and (counts == counts[0]).all():
        return f"{counts[0]} of {n} are −∞"
    if with_infinities.size <= MAX_NOTE_LINES:
        return "\n".join(rf"$\ell$ = {lags[s]}: {counts[s]} of {n} are −∞" for s in with_infinities)
    first, last = lags[with_infinities[0]], lags[with_infinities[-1]]
    return rf"{counts[with_infinities].min()} to {counts.max()} of {n} are −∞ ($\ell$ = {first} to {last})"
