"""Learning curve: perplexity against training steps, from the metrics of runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm_jax.errors import DataError
from rnnlm_jax.plotting.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curve(metrics: Sequence[Path], names: Sequence[str], path: Path) -> None:
    """Draw perplexity against training steps, a colour per run: thin lines for training, dots for validation.

    Args:
        metrics: file ``metrics.jsonl`` of each run.
        names: name of each run in the legend.
        path: PNG, PDF or SVG file to write.

    Raises:
        DataError: if a file is missing.
    """
    save(draw_learning_curve([read_metrics(file) for file in metrics], names), path)


def draw_learning_curve(runs: Sequence[list[dict[str, Any]]], names: Sequence[str]) -> "Figure":
    """Return the figure of ``learning_curve``, from the records of ``read_metrics`` of each run."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (records, name) in enumerate(zip(runs, names, strict=True)):
        colour = f"C{number}"
        steps = [r for r in records if r["kind"] == "step" and r.get("perplexity") is not None]
        epochs = [r for r in records if r["kind"] == "validation" and r["valid_perplexity"] is not None]
        axes.plot([r["step"] for r in steps], [r["perplexity"] for r in steps], color=colour, lw=0.8, alpha=0.5)
        axes.plot(
            [r["step"] for r in epochs], [r["valid_perplexity"] for r in epochs], "o-", color=colour, ms=4, label=name
        )
        if epochs:
            best = min(epochs, key=lambda r: r["valid_perplexity"])
            axes.annotate(
                f"{best['valid_perplexity']:.1f}",
                (best["step"], best["valid_perplexity"]),
                textcoords="offset points",
                xytext=(0, 7),
                ha="center",
                color=colour,
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="step", ylabel="perplexity", title="training (line) and validation (dots)")
    axes.grid(True, alpha=0.3)
    axes.legend()
    return figure


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a ``metrics.jsonl``; an incomplete last line is left out.

    Raises:
        DataError: if the file is missing.
    """
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}: train a model first") from error
    return [json.loads(line) for line in lines if line.endswith("}")]
