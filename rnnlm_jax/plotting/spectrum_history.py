"""Spectra of the recurrent Jacobians through training, with the perplexity beside, from the metrics of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm_jax.plotting.learning_curve import read_metrics
from rnnlm_jax.plotting.style import new_figure, paper_style, run_lines, save, sequential_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def spectrum_history(metrics: Path, path: Path) -> bool:
    """Draw what ``log_spectrum`` has logged against training steps, and the validation perplexity.

    Args:
        metrics: file ``metrics.jsonl`` of a run.
        path: PNG, PDF or SVG file to write.

    Returns:
        whether there was something to draw; if not, nothing is written.

    Raises:
        DataError: if the file is missing.
    """
    records = read_metrics(metrics)
    if not any(record["kind"] == "spectrum" for record in records):
        return False
    save(draw_spectrum_history(records), path)
    return True


@paper_style()
def draw_spectrum_history(records: Sequence[dict[str, Any]]) -> "Figure":
    """Return the figure of ``spectrum_history``, from the records of ``read_metrics``."""
    from matplotlib.ticker import StrMethodFormatter

    spectra = [record for record in records if record["kind"] == "spectrum"]
    valid = [record for record in records if record["kind"] == "validation"]
    steps, lag = [record["step"] for record in spectra], spectra[-1]["lag"]
    figure = new_figure(8.0, 5.6)
    (exponents, perplexity), (condition, near_zero) = figure.subplots(2, 2, sharex=True)

    logged = _columns([record["exponents"] for record in spectra])
    for colour, values in zip(sequential_colours(len(logged)), logged, strict=True):
        exponents.plot(steps, values, "o-", ms=3, color=colour)
    exponents.axhline(0, color="0.6", lw=0.8)
    exponents.set(ylabel="Lyapunov exponent (nats per token)", title=f"the {len(logged)} largest exponents")

    shown = [(record["step"], record["valid_perplexity"]) for record in valid if record["valid_perplexity"]]
    perplexity.plot(*zip(*shown, strict=True) if shown else ([], []), "o-", ms=3, color="C3")
    perplexity.set(yscale="log", ylabel="validation perplexity", title="perplexity")
    for axis in ("major", "minor"):
        getattr(perplexity.yaxis, f"set_{axis}_formatter")(StrMethodFormatter("{x:g}"))

    _draw_layers(condition, steps, [record["log_condition"] for record in spectra])
    condition.set(ylabel="log condition number (nats)", title=f"Jacobian of {lag} tokens: condition")
    _draw_layers(near_zero, steps, [record["near_zero"] for record in spectra], scale=100)
    near_zero.set(ylabel="singular values with |log σ| < 1 nat (%)", ylim=(0, None))
    near_zero.set(title=f"Jacobian of {lag} tokens: values that keep gradients")
    for axes in (condition, near_zero):
        axes.set(xlabel="step")
    return figure


def _draw_layers(axes: "Axes", steps: Sequence[int], rows: Sequence[Sequence[float | None]], scale: float = 1) -> None:
    columns = _columns(rows)
    for layer, (values, line) in enumerate(zip(columns, run_lines(len(columns)), strict=True)):
        axes.plot(steps, scale * values, marker="o", ms=3, label=f"layer {layer + 1}", **line)
    axes.legend()


def _columns(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Return a row for each place of the lists; null, which stands for what is not finite, becomes NaN."""
    return np.array(rows, dtype=np.float64).T
