"""The tables, the record and the figures of the study."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import readme_table
from rnnlm_jax.jacobians import mean_field
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, VERMILION, legend_below, new_figure, paper_style, run_lines, save
from rnnlm_jax.training.results import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]
Table = tuple[list[str], list[list[str]]]


def record(found: dict[str, Rows], study: Path) -> None:
    """Write ``results.json``, the figures, and the tables of the README."""
    write_json(study / "results.json", {"environment": environment(), **found})
    save(draw_exponents(found["exponents"]), study / "exponents.png")
    save(draw_densities([*found["densities"], *found["gated"]]), study / "densities.png")
    save(draw_gradients(found["critical"]), study / "gradients.png")
    text = "\n".join(f"**{name}**\n\n{readme_table.markdown(*table)}" for name, table in tables(found).items())
    readme_table.write_table(study / "README.md", text)


def tables(found: dict[str, Rows]) -> dict[str, Table]:
    """Return head and rows of each table by its title."""
    return {
        "Elman networks": exponents_table(found["exponents"]),
        "Singular values of products of Elman Jacobians": densities_table(found["densities"]),
        "GRU and LSTM at their fixed points": gated_table(found["gated"]),
        "minimalRNN at its critical gain": minimal_table(found["minimal"]),
        "Critical tanh networks, gradients 100 steps back": critical_table(found["critical"]),
    }


def exponents_table(rows: Rows) -> Table:
    """Return exponents, E[h²] and χ beside the theory."""
    return (
        ["φ", "g", "σ_x²", "N", "networks", "λ₁", "±", "theory", "E[h²]", "theory", "χ", "theory"],
        [
            [
                row["activation"],
                f"{row['gain']:g}",
                f"{row['input_variance']:g}",
                f"{row['units']}",
                f"{row['networks']}",
                f"{row['exponent']:.4f}",
                f"{row['standard_error']:.4f}",
                f"{row['theory']['exponent']:.4f}",
                f"{row['square']:.4f}",
                f"{row['theory']['square']:.4f}",
                f"{row['chi']:.4f}",
                f"{row['theory']['chi']:.4f}",
            ]
            for row in rows
        ],
    )


def densities_table(rows: Rows) -> Table:
    """Return moments of squared singular values, and the largest difference of shares."""
    return (
        ["φ", "g", "σ_x²", "steps ℓ", "⟨σ²⟩", "theory", "⟨σ⁴⟩", "theory", "largest difference of shares"],
        [
            [
                row["activation"],
                f"{row['gain']:g}",
                f"{row['input_variance']:g}",
                f"{row['depth']}",
                *_singular_values(row),
            ]
            for row in rows
        ],
    )


def gated_table(rows: Rows) -> Table:
    """Return E[h²], moments and differences at the fixed points."""
    return (
        ["cell", "g", "biases", "E[h²]", "theory", "⟨σ²⟩", "theory", "⟨σ⁴⟩", "theory", "largest difference of shares"],
        [
            [
                row["cell"],
                f"{row['gain']:g}",
                ", ".join(
                    f"{name.replace('_', ' ')} {row[name]:g}"
                    for name in ("forget_bias", "update_bias", "reset_bias", "bias_variance")
                    if name in row
                ),
                f"{row['square']:.4f}",
                f"{row['theory_square']:.4f}",
                *_singular_values(row),
            ]
            for row in rows
        ],
    )


def minimal_table(rows: Rows) -> Table:
    """Return χ at the critical gain."""
    return (
        ["bias of the gate", "critical gain", "R", "E[h²]", "theory", "χ", "theory"],
        [
            [
                f"{row['gate_bias']:g}",
                f"{row['critical_gain']:.4f}",
                f"{row['input_variance']:.4f}",
                f"{row['square']:.4f}",
                f"{row['theory']['square']:.4f}",
                f"{row['chi']:.4f}",
                f"{row['theory']['chi']:.4f}",
            ]
            for row in rows
        ],
    )


def critical_table(rows: Rows) -> Table:
    """Return the mean squared norm at the end."""
    return (
        ["W", "σ_x²", "g", "N", "mean squared norm"],
        [
            [
                row["matrix"],
                f"{row['input_variance']:g}",
                f"{row['gain']:.4f}",
                f"{row['units']}",
                f"{np.exp(row['log_squared_norm'][-1]):.3f}",
            ]
            for row in rows
        ],
    )


def _singular_values(row: dict[str, Any]) -> list[str]:
    """Return the cells of the columns from ⟨σ²⟩ to the largest difference of shares."""
    pairs = zip(row["moments"], row["theory_moments"], strict=True)
    difference = f"{row['largest_difference_of_shares']:.4f}" if "density" in row else "–"
    return [*(f"{value:.4g}" for pair in pairs for value in pair), difference]


@paper_style()
def draw_exponents(rows: Rows) -> "Figure":
    """Return measured exponents over the gain, on the curves of the theory."""
    figure = new_figure(7.0, 3.2)
    panels = figure.subplots(1, 2)
    kinds = list(dict.fromkeys((row["activation"], row["input_variance"]) for row in rows))
    handles = []
    for (activation, variance), look in zip(kinds, run_lines(len(kinds)), strict=True):
        own = [row for row in rows if (row["activation"], row["input_variance"]) == (activation, variance)]
        axes = panels[0] if activation == "tanh" else panels[1]
        low, high = min(row["gain"] for row in own), max(row["gain"] for row in own)
        gains = np.linspace(0.95 * low, min(1.05 * high, 1.4 if activation == "relu" else 1.05 * high), 60)
        curve = [mean_field.elman(g, activation, input_variance=variance).largest_exponent for g in gains]
        label = f"{activation}, $\\sigma_x^2$ = {variance:g}"
        handles += axes.plot(gains, curve, lw=1.2, label=label, **look)
        for units, marker in zip(sorted({row["units"] for row in own}), ("x", "o"), strict=False):
            points = [row for row in own if row["units"] == units]
            axes.plot(
                [row["gain"] for row in points], [row["exponent"] for row in points], marker, color=look["color"], ms=5
            )
    for axes in panels:
        axes.axhline(0, color="black", lw=0.5)
        axes.set(xlabel="gain $g$", ylabel=r"largest exponent $\lambda_1$ (nats a step)")
    legend_below(figure, handles)
    return figure


@paper_style()
def draw_densities(rows: Rows) -> "Figure":
    """Return a histogram of log singular values with the density of the theory for each row."""
    rows = [row for row in rows if "density" in row]
    columns = 4
    count = -(-len(rows) // columns)
    figure = new_figure(7.5, 1.6 * count + 0.4)
    panels = figure.subplots(count, columns, squeeze=False).ravel()
    for axes, row in zip(panels, rows, strict=False):
        edges, shares = row["histogram"]["edges"], row["histogram"]["share_per_nat"]
        axes.stairs(shares, edges, fill=True, color=BLUE, alpha=0.35)
        curve = row["density"]
        axes.plot(curve["log_singular_values"], curve["share_per_nat"], color=VERMILION, lw=1.1)
        axes.set_xlim(edges[0], max(edges[-1], row["log_largest"]) + 0.2)
        axes.set_title(_name(row), fontsize=7)
        axes.tick_params(labelsize=6)
    for axes in panels[len(rows) :]:
        axes.set_visible(False)
    figure.supxlabel("log singular value $\\ln \\sigma$ (nats)", fontsize=8)
    figure.supylabel("share of singular values per nat", fontsize=8)
    return figure


def _name(row: dict[str, Any]) -> str:
    if "activation" in row:
        inputs = f", $\\sigma_x^2$ {row['input_variance']:g}" if row["input_variance"] else ""
        return f"{row['activation']}, g {row['gain']:g}{inputs}, {row['depth']} step{'s' * (row['depth'] > 1)}"
    bias = next(name for name in ("forget_bias", "update_bias") if name in row)
    return f"{row['cell'].upper()}, g {row['gain']:g}, {bias.replace('_', ' ')} {row[bias]:g}"


@paper_style()
def draw_gradients(rows: Rows) -> "Figure":
    """Return the mean squared norm of gradients over the steps back."""
    figure = new_figure(4.5, 3.0)
    axes, handles = figure.add_subplot(), []
    for row, look in zip(rows, run_lines(len(rows)), strict=True):
        label = f"{row['matrix']}, $\\sigma_x^2$ = {row['input_variance']:g}, g = {row['gain']:.3f}"
        steps = np.arange(1, 1 + len(row["log_squared_norm"]))
        handles += axes.plot(steps, row["log_squared_norm"], lw=1.1, label=label, **look)
    axes.axhline(0, color="black", lw=0.5)
    axes.set(xlabel="steps back", ylabel="ln of the mean squared norm (nats)", ylim=(-5, 5))
    legend_below(figure, handles)
    return figure
