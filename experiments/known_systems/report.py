"""The table, the record and the figure of the study."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import readme_table
from rnnlm_jax.jobs.run_folder import write_json
from rnnlm_jax.plotting.style import BLUE, GREY, VERMILION, new_figure, paper_style, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]

#: The largest exponent of the Lorenz system, and how near that of a network is meant to come.
LARGEST, NEAR = 0.9056, 0.01


def record(results: Sequence[Result], study: Path) -> None:
    """Write ``results.json``, the table of the README, and the figure if there are networks."""
    networks = [result for result in results if "seed" in result]
    kept = [{key: value for key, value in result.items() if key != "shown"} for result in results]
    write_json(study / "results.json", {"results": kept})
    text = readme_table.markdown(*table(results))
    if networks:
        save(draw(networks), study / "attractors.png")
        text += "\n![two attractors, and the largest exponents of the networks](attractors.png)\n"
    readme_table.write_table(study / "README.md", text)


def table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: one row for each exponent, and for the sum of all where that is known."""
    rows = []
    for result in results:
        found = result["exponents"]
        known = result.get("published", (LARGEST, 0.0))
        name = result.get("system", f"GRU on its own predictions, seed {result.get('seed')}")
        measured = zip(found["mean"], found["between_starts"], found["within_starts"], strict=True)
        for k, (mean, between, within) in enumerate(measured):
            wanted = f"{known[k]:.4f}".rstrip("0").rstrip(".") if k < len(known) else ""
            rows.append([name, f"λ{k + 1}", f"{round(mean, 5) + 0.0:.5f}", f"{between:.5f}", f"{within:.5f}", wanted])
        if found["sum_of_determinants"] is not None:
            exact = f"{result['sum_of_exponents']:.8f}"
            rows.append([name, "sum of all", f"{sum(found['mean']):.8f}", "", "", exact])
    return ["system", "exponent", "measured", "± between starts", "± within a start", "known"], rows


@paper_style()
def draw(networks: Sequence[Result]) -> "Figure":
    """Return the attractors of the system and of the first network, and the largest exponent of each network."""
    figure = new_figure(height=2.7)
    left, middle, right = figure.subplots(1, 3)
    shown = networks[0]["shown"]
    panels = ((left, "system", BLUE, "Lorenz system"), (middle, "network", VERMILION, "GRU on its own predictions"))
    for axes, name, colour, title in panels:
        u, w = np.asarray(shown[name]).T
        axes.plot(u, w, color=colour, lw=0.5)
        axes.set(xlabel="$u$", title=title, xlim=(-22, 22), ylim=(0, 50))
    left.set_ylabel("$w$")
    means = [result["exponents"]["mean"][0] for result in networks]
    errors = [2 * result["exponents"]["between_starts"][0] for result in networks]
    right.axhspan(LARGEST - NEAR, LARGEST + NEAR, color=GREY, alpha=0.2, lw=0)
    right.axhline(LARGEST, color=GREY, lw=0.8)
    right.errorbar([result["seed"] for result in networks], means, errors, color=VERMILION, marker="o", ls="")
    right.set(xlabel="seed of the network", title="largest exponent", xlim=(-0.5, len(networks) - 0.5))
    right.set_ylabel("nats a unit of time")
    right.set_xticks([result["seed"] for result in networks])
    return figure
